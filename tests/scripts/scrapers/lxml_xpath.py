from lxml import etree, html

tree = html.fromstring("<div><p class='x'>one</p><p>two<b>!</b></p></div>")
print(tree.xpath("//p[@class='x']/text()"), [p.text_content() for p in tree.xpath("//p")])
root = etree.fromstring(b"<feed><entry id='1'><t>A</t></entry><entry id='2'><t>B</t></entry></feed>")
for entry in root.iterfind("entry"):
    print(entry.get("id"), entry.findtext("t"))
try:
    etree.fromstring("<open>")
except etree.XMLSyntaxError as error:
    print(type(error).__name__)
