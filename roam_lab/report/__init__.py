"""Reports on steps and plans: rows and sentences, drawn as text, HTML, SVG (`pictures`) or bokeh (`figures`)."""
