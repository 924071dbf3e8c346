"""The report folder: what people and CI read about a conversion, made from its figures. Nothing here touches a disk.

`evidence` is what a conversion saw; `examine` boils it down to figures (`details`), part of `report.json`. The
pages, the model card and the JUnit file are written from those figures alone. Rows of the user's data (the worst ones)
appear in `report.html` and `report.json` only, never in what is posted elsewhere: `report.md`, `model_card.md`,
`junit.xml`.
"""
