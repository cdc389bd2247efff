"""The range of every numeric option of OpenNMT-py.

OpenNMT-py accepts many numbers without a meaning, and reads some as another one: a size of 0 as its
default of 500. Numbers out of range are refused before anything is read.
"""

from __future__ import annotations

from onmt_lattice.config import BEAM, COUNT, COUNT_OR_ZERO, DEVICE, POSITIVE, SEED, SIZE, Range

LAYERS = Range(1, 128)
AMOUNT = Range(0)
SHARE = Range(0, 1)
DECAY = Range(0, 1, below=True)


def _or_unset(allowed: Range, meaning: str = "the default") -> Range:
    return Range(allowed.low, allowed.high, also=(-1,), meaning=meaning)


_TABLE: list[tuple[Range, str]] = [
    (
        COUNT,
        "train_steps valid_steps report_every save_checkpoint_steps train_eval_steps batch_size "
        "valid_batch_size batch_size_multiple bucket_size pool_factor queue_size world_size "
        "accum_count decay_steps warmup_steps average_every "
        "src_vocab_size tgt_vocab_size vocab_size_multiple src_seq_length tgt_seq_length "
        "src_seq_length_trunc tgt_seq_length_trunc src_subword_nbest tgt_subword_nbest "
        "rate_weight_midpoint num_threads vocab_sample_queue_size",
    ),
    (
        COUNT_OR_ZERO,
        "max_generator_batches accum_steps dropout_steps start_decay_steps early_stopping epochs "
        "src_words_min_frequency tgt_words_min_frequency src_vocab_threshold tgt_vocab_threshold "
        "gpu_ranks gpuid gpu_verbose_level truncated_decoder input_feed alignment_heads "
        "max_relative_positions src_ggnn_size",
    ),
    (_or_unset(COUNT_OR_ZERO, "all of them"), "n_sample keep_checkpoint"),
    (
        SIZE,
        "enc_rnn_size dec_rnn_size src_word_vec_size tgt_word_vec_size bottleneck_slots "
        "cnn_kernel_width state_dim n_edge_types n_node n_steps heads transformer_ff",
    ),
    (LAYERS, "enc_layers dec_layers"),
    (_or_unset(SIZE), "rnn_size word_vec_size feat_vec_size"),
    (_or_unset(LAYERS), "layers"),
    (POSITIVE, "learning_rate switchout_temperature tokendrop_temperature tokenmask_temperature"),
    (Range(0, 1, above=True), "learning_rate_decay"),
    (DECAY, "adam_beta1 adam_beta2 average_decay dropout attention_dropout label_smoothing"),
    (SHARE, "permute_sent_ratio rotate_ratio insert_ratio random_ratio mask_ratio"),
    (
        AMOUNT,
        "rate_weight max_grad_norm param_init adagrad_accumulator_init feat_vec_exponent "
        "loss_scale lambda_align lambda_coverage poisson_lambda src_subword_alpha "
        "tgt_subword_alpha",
    ),
    (Range(-1, 1), "replace_length"),
    (Range(-128, 127), "alignment_layer"),
    (Range(1, 2**16 - 1), "master_port"),
    (Range(1, 2**32 - 1, also=(-1,), meaning="a random one"), "seed"),
]

RANGES = {name: allowed for allowed, names in _TABLE for name in names.split()}

TRANSLATION: dict[str, Range] = {
    "seed": SEED,
    "batch_size": COUNT,
    "beam_size": BEAM,
    "n_best": COUNT,
    "max_length": COUNT,
    "min_length": COUNT_OR_ZERO,
    "shard_size": COUNT_OR_ZERO,
    "block_ngram_repeat": COUNT_OR_ZERO,
    "gpu": DEVICE,
    "ratio": Range(),
    "alpha": Range(),
    "beta": Range(),
    "random_sampling_topk": _or_unset(COUNT_OR_ZERO, "all words"),
    "random_sampling_topp": SHARE,
    "random_sampling_temp": POSITIVE,
}
