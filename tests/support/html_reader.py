"""A reader of pages that complains about tags that are not closed."""

from html.parser import HTMLParser

VOID = {"meta", "br", "path", "use", "rect"}


class Reader(HTMLParser):
    """Text, ids, scripts and what is loaded; complains about tags that are not closed."""

    def __init__(self, page):
        super().__init__()
        self.open, self.ids, self.tags, self.text, self.handlers = [], [], [], "", []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        self.handlers += [name for name, _ in attributes if name.startswith("on") or name == "src"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data if not self.open or self.open[-1] not in ("script", "style") else ""
