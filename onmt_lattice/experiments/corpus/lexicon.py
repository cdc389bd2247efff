"""The words of the English grammar, by meaning, the most frequent first.

A noun or verb stands alone when regular; otherwise its forms follow after colons: the plural of a
noun, the past and the participle of a verb. A verb's class is that of its object, or names what
the verb does. A word may be in several classes as long as no sentence gets a second derivation.
"""

from __future__ import annotations

NOUNS = {
    "person": """man:men woman:women child:children girl boy teacher farmer doctor mother father
        student brother sister king queen soldier baker uncle aunt actor painter singer sailor
        nurse writer hunter driver gardener artist judge lawyer poet thief:thieves engineer
        prince dancer neighbor pilot carpenter shepherd tailor""",
    "animal": """dog cat horse bird cow mouse:mice wolf:wolves lion bear fox elephant rabbit monkey
        goat duck tiger pig eagle hen owl goose:geese donkey frog squirrel snake parrot""",
    "food": """apple egg cake sandwich potato:potatoes carrot pie tomato:tomatoes banana onion
        cookie pear sausage pancake""",
    "tool": """knife:knives box lamp hammer rope basket key ladder broom bucket clock axe needle
        mirror bottle brush umbrella""",
    "text": "book letter story:stories poem map report essay recipe diary:diaries novel",
    "music": "piano guitar violin drum flute trumpet organ harp cello",
    "clothes": """coat hat dress shirt jacket scarf:scarves shoe apron sweater glove sock
        skirt""",
    "vehicle": "car boat bus truck bicycle wagon taxi tractor van",
}

VERBS = {
    # A person acts on an object of the class named.
    "food": """eat:ate:eaten cook buy:bought:bought bake sell:sold:sold taste share prepare
        steal:stole:stolen serve""",
    "tool": """use find:found:found buy:bought:bought repair carry lose:lost:lost sell:sold:sold
        hide:hid:hidden clean borrow drop:dropped:dropped""",
    "text": "write:wrote:written study finish translate publish burn",
    "music": "play tune practice buy:bought:bought borrow repair",
    "clothes": "wear:wore:worn wash buy:bought:bought sew:sewed:sewn mend fold sell:sold:sold",
    "vehicle": "drive:drove:driven park repair wash sell:sold:sold rent",
    "animal": "feed:fed:fed catch:caught:caught train chase follow watch wash raise protect",
    "person": """meet:met:met help visit thank call invite follow greet admire trust
        teach:taught:taught forgive:forgave:forgiven remember""",
    "place": "visit clean leave:left:left paint guard explore build:built:built",
    # An animal acts on an animal, on food, on a person; or just lives.
    "prey": "chase follow bite:bit:bitten watch fight:fought:fought scare attack",
    "feast": "eat:ate:eaten smell find:found:found steal:stole:stolen want sniff",
    "master": "follow watch like bite:bit:bitten trust obey",
    "roam": "sleep:slept:slept rest play hide:hid:hidden jump wait drink:drank:drunk",
    # A person does without an object.
    "live": """sleep:slept:slept sing:sang:sung work laugh dance smile cry wait rest talk dream
        shout""",
    "move": "walk run:ran:run go:went:gone travel hurry march ride:rode:ridden",
    "think": """think:thought:thought say:said:said know:knew:known believe hope hear:heard:heard
        feel:felt:felt forget:forgot:forgotten guess""",
    "give": "give:gave:given bring:brought:brought send:sent:sent show:showed:shown offer",
}

CLOSED = {  # words of one form, under the nonterminal that they stand for
    "Adjective.person": """old young tall kind clever strong poor rich brave famous quiet proud
        gentle polite shy lazy elegant wise cheerful""",
    "Adjective.animal": """small big brown black white hungry wild old young friendly fast enormous
        gray fat tiny ugly""",
    "Adjective.food": "fresh warm sweet delicious cold expensive cheap tasty",
    "Adjective.tool": """old new heavy broken wooden small large rusty cheap strange antique
        shiny""",
    "Adjective.text": "long short famous secret boring interesting strange old important funny",
    "Adjective.music": "old new expensive beautiful loud small antique wooden",
    "Adjective.clothes": "red blue warm green black white yellow dirty new woolen orange elegant",
    "Adjective.vehicle": "red fast old new blue slow dirty yellow noisy empty",
    "Adjective.place": """old dark quiet big small beautiful empty ancient cold narrow sunny
        peaceful""",
    "Mood": """happy tired angry hungry sad sick busy ready nervous bored calm surprised proud
        thirsty lonely excited""",
    "Comparative": """bigger smaller faster older stronger slower younger smarter louder braver
        heavier hungrier""",
    "Substance": """bread soup cheese rice meat fruit butter honey porridge pasta chocolate jam
        salad yogurt""",
    "Noun.inside": """house garden kitchen school forest church village market castle hotel library
        barn hospital park museum theater cave cellar restaurant""",
    "Noun.surface": "street hill beach island bridge roof mountain farm balcony platform",
    "Noun.landmark": """river lake station wall fountain tower gate harbor temple statue oak
        mill""",
    "Period.pres": "day morning week evening night summer winter year month spring",
    "Period.past": "night week year summer month winter spring",
    "Period.fut": "week year month summer winter spring",
    "Weekday.sg": "sunday monday friday saturday wednesday tuesday thursday",
    "Weekday.pl": "sundays mondays fridays saturdays wednesdays tuesdays thursdays",
    "Manner": """quickly slowly quietly carefully happily together alone proudly sadly gently
        silently secretly bravely calmly eagerly patiently loudly nervously""",
    "Frequency": "always often usually sometimes rarely never",
    "Degree": "very so quite rather extremely",
    "Modal": "will could should must might may",
    "Modifier.sg": "my this his her our every their another each one",
    "Modifier.pl": "some two these many my three his those our several her four",
    "Modifier.many": "two many some three several four",
    "Modifier.substance": "some my this his her our",
    "Modifier.place": "the our this my their",
    "Beside": "near behind beside outside",
    "Link": "and but while because when before after",
    "Reason": "because when after",
}


def add_s(word: str) -> str:
    """Return the regular plural of a noun, or third person of a verb."""
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "sh", "ch", "go")) else "s")


def add_ed(verb: str) -> str:
    """Return the regular past of a verb."""
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ied"
    return verb + ("d" if verb.endswith("e") else "ed")


def noun_forms(entry: str) -> tuple[str, str]:
    """Return singular and plural of an entry such as ``"dog"`` or ``"child:children"``."""
    singular, *irregular = entry.split(":")
    return singular, irregular[0] if irregular else add_s(singular)


def verb_forms(entry: str) -> tuple[str, str, str, str]:
    """Return base, third person, past, participle of an entry such as ``"eat:ate:eaten"``."""
    base, *irregular = entry.split(":")
    past, participle = irregular or (add_ed(base), add_ed(base))
    return base, add_s(base), past, participle


def article(word: str) -> str:
    """Return the indefinite article before ``word``."""
    return "an" if word[0] in "aeiou" else "a"
