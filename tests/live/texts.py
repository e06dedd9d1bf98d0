"""Texts that people write into a free text."""

PERSIAN = "می\u200cنویسم"  # spelled with a zero-width non-joiner
FAMILY = "👩\u200d👩\u200d👧"  # one picture of three, joined by zero-width joiners
ENGLAND = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"  # a flag, spelled by tags
HEBREW = "שלום\u200f!"  # with a mark of direction, which reverses no other text

# A text of one line, for a name too.
LINES = (PERSIAN, FAMILY, ENGLAND, HEBREW, "co\u00adoperate")
# As a block of YAML has it, with a tab, and from a file of Windows.
NOTES = (*LINES, "cameras\nof the yard\n", "\tindented", "one\r\ntwo")
