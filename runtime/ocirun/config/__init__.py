"""config.json: read it, check every value, hand it on as plain dicts.

load     open the file of a bundle, parse it, check it; class Config
check    types, ranges, words and required keys, by the tables; then the rules
forms    what the text of a value may look like
rules/   rules that need more than one value, one file a subject
sysctl   kernel parameters: their files, their namespaces, and the rule on them
report   collects Problems with their JSON pointers
_tables  the schema as literals, generated;  _types  the same as TypedDicts, for mypy
"""
