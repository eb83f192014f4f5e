"""A run without notebooks executed, and what a reader meets on a page."""

from html.parser import HTMLParser

from fercore import artifacts

FIRST = """# 01 · Looking

[02 Next →](02_next.ipynb) · [rendered page](../outputs/published/reports/01_look.html) · seconds

**Question.** At *what*?

More: [methods](../docs/methods.md#seeds), [nothing](../docs/none.md), [another](09_gone.ipynb),
[a paper](https://arxiv.org/abs/1608.02833)."""


def start(folder, origin, **data):
    data |= {"origin": origin, "fingerprint": "0123", "faces": {"Training": 3}}
    content = {"profile": "try", "description": "a test", "data": data}
    artifacts.write_json(folder / "try" / "run.json", content)
    return folder / "try"


class Parsed(HTMLParser):
    """Tags, handlers, language, anchors, pictures, and all that a page loads or points to."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.anchors, self.language = set(), set(), set(), None
        self.loaded, self.linked, self.pictures = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.add(tag)
        self.attributes |= found.keys()
        self.anchors.add(found.get("id"))
        self.loaded += [found[name] for name in ("src", "data") if name in found]
        if tag == "html":
            self.language = found.get("lang")
        elif tag == "img":
            self.pictures.append(found)
        elif "href" in found:
            (self.loaded if tag == "link" else self.linked).append(found["href"])
