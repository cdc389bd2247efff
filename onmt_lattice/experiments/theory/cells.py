"""Figure 1: the cubic and the hexagonal lattice, their cells, and how they cover the plane."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from onmt_lattice.experiments.report.plotting import COLOURS
from onmt_lattice.experiments.tables import Column
from onmt_lattice.experiments.theory.experiments import Settings
from onmt_lattice.experiments.theory.second_moments import CUBE
from onmt_lattice.lattices import Lattice, make_lattice

HALF_WIDTH = 2.2  # of the part of the plane that is drawn
TITLE = "the cubic and the hexagonal lattice at equal cell area"
NOTES = (
    "Exact. Lengths are in square roots of the cell area. Thickness: circles over a place, "
    "on average.",
    "U: uniform on the cell; its second moment is the squared error a dimension at high "
    "resolution.",
)


class Row(NamedTuple):
    """The geometry of a lattice of the plane, all exact."""

    lattice: Annotated[str, Column("lattice")]
    area: Annotated[float, Column("cell area")]
    neighbours: Annotated[int, Column("nearest neighbours")]
    spacing: Annotated[float, Column("their distance")]
    radius: Annotated[float, Column("covering radius")]
    thickness: Annotated[float, Column("thickness of the covering")]
    moment: Annotated[float, Column("E‖U‖²/n", ".6f")]
    error: Annotated[float, Column("against the cube (%)", "+.2f")]


def planar_lattices() -> dict[str, Lattice]:
    """Return the two lattices by title, scaled to cells of area 1."""
    lattices = {"cubic, Z²": make_lattice("Z", n=2), "hexagonal, A₂": make_lattice("A2")}
    return {title: lattice.scaled(lattice.volume**-0.5) for title, lattice in lattices.items()}


def planar_points(lattice: Lattice, reach: int) -> np.ndarray:
    """Return ``(N, 2)``, the points whose coordinates in the basis are at most ``reach``."""
    coordinates = torch.tensor(list(itertools.product(range(-reach, reach + 1), repeat=2)))
    return lattice.point(coordinates).numpy()


def points_in_view(lattice: Lattice) -> np.ndarray:
    """Return ``(N, 2)``, the points whose cells or circles may reach into the drawing."""
    points = planar_points(lattice, 5)
    return points[(abs(points) < HALF_WIDTH + 1).all(1)]


def cell_corners(lattice: Lattice) -> np.ndarray:
    """Return ``(k, 2)``, the corners of the Voronoi cell of 0, in order around it.

    They are where the walls of 0 with two of its neighbours meet, no other point being nearer.
    """
    neighbours = planar_points(lattice, 2)
    corners = []
    for v, w in itertools.combinations(neighbours, 2):
        walls = np.stack([v, w])
        if abs(np.linalg.det(walls)) < 1e-9:
            continue
        corner = np.linalg.solve(walls, (walls**2).sum(1) / 2)
        if (neighbours @ corner <= (neighbours**2).sum(1) / 2 + 1e-9).all():
            corners.append(corner)
    corners.sort(key=lambda corner: math.atan2(corner[1], corner[0]))
    apart = [np.linalg.norm(c - corners[i - 1]) > 1e-6 for i, c in enumerate(corners)]
    return np.array(corners)[apart]


def farthest(corners: np.ndarray) -> float:
    """Return the covering radius, the distance of 0 to the farthest of its cell's ``corners``."""
    return float(np.linalg.norm(corners, axis=1).max())


def _row(title: str, lattice: Lattice) -> Row:
    lengths = np.linalg.norm(planar_points(lattice, 2), axis=1)
    spacing = lengths[lengths > 0].min()
    radius = farthest(cell_corners(lattice))
    return Row(
        lattice=title,
        area=lattice.volume,
        neighbours=int((abs(lengths - spacing) < 1e-9).sum()),
        spacing=float(spacing),
        radius=radius,
        thickness=math.pi * radius**2 / lattice.volume,
        moment=lattice.second_moment,
        error=100 * (lattice.nsm / CUBE - 1),
    )


def rows(settings: Settings) -> list[Row]:
    """Return the two lattices; nothing here is sampled."""
    return [_row(title, lattice) for title, lattice in planar_lattices().items()]


def draw(rows: list[Row]) -> Figure:
    """Draw points and cells above, and the covering of the plane by circles below."""
    figure = Figure(figsize=(6.6, 6.9), dpi=110, layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey=True)
    for column, (lattice, row) in enumerate(zip(planar_lattices().values(), rows, strict=True)):
        _draw_cells(axes[0, column], lattice)
        _draw_covering(axes[1, column], lattice)
        axes[0, column].set_title(f"{row.lattice}: points and cells of area 1")
        axes[1, column].set_title(
            f"covering radius R = {row.radius:.3f}:\n"
            f"{row.thickness:.3f} circles over a place, on average"
        )
    for ax in axes.flat:
        ax.set(xlim=(-HALF_WIDTH, HALF_WIDTH), ylim=(-HALF_WIDTH, HALF_WIDTH), aspect="equal")
        ax.set(xticks=range(-2, 3), yticks=range(-2, 3))
    for ax in axes[1]:
        ax.set_xlabel("x₁ (square root of the cell area)")
    for ax in axes[:, 0]:
        ax.set_ylabel("x₂ (square root of the cell area)")
    return figure


def _draw_cells(ax: Any, lattice: Lattice) -> None:
    points, corners = points_in_view(lattice), cell_corners(lattice)
    for point in points:
        ax.fill(*(corners + point).T, facecolor="none", edgecolor="0.6", linewidth=0.8)
    ax.fill(*corners.T, facecolor=COLOURS[5], edgecolor=COLOURS[0], linewidth=1.8, alpha=0.6)
    ax.scatter(*points.T, s=14, color="black", zorder=3)
    far = corners[0]
    ax.annotate("", far, (0, 0), arrowprops={"arrowstyle": "-", "color": COLOURS[1], "lw": 1.5})
    ax.annotate("R", far / 2, (4, -9), textcoords="offset points", color=COLOURS[1])


def _draw_covering(ax: Any, lattice: Lattice) -> None:
    points, corners = points_in_view(lattice), cell_corners(lattice)
    for point in points:
        for style in ({"facecolor": COLOURS[0], "alpha": 0.25}, {"fill": False, "lw": 0.8}):
            ax.add_patch(Circle(point, farthest(corners), **style))
    ax.fill(*corners.T, facecolor="none", edgecolor="black", linewidth=1.2, linestyle="--")
    ax.scatter(*points.T, s=14, color="black", zorder=3)
