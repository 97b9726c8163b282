//! One self-contained page of HTML: for `explain`, and for whatever else is shown to people in a browser.
//!
//! A page loads nothing: no script, no font, no image, no address; its policy says so to the browser, too. Text goes in as text alone and is
//! escaped here; there is no way to put in markup, so that no name or string of a hostile file can become any.

use std::fmt::Write as _;

/// Colours come in pairs for light and dark; none carries a meaning that a word does not.
const STYLE: &str = "\
:root{color-scheme:light dark;--back:#fff;--text:#1b1f24;--soft:#57606a;--line:#d0d7de;--band:#f6f8fa;--mark:#fff1c2;--bad:#a40e26;--good:#116329}
@media(prefers-color-scheme:dark){:root{--back:#0e1116;--text:#e6edf3;--soft:#9198a1;--line:#3d444d;--band:#161b22;--mark:#4d3800;--bad:#ff8182;--good:#7ee787}}
body{margin:0 auto;max-width:76rem;padding:1.5rem;background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:0 0 .5rem}h2{font-size:1.15rem;margin:2rem 0 .5rem;padding-top:1rem;border-top:1px solid var(--line);overflow-wrap:anywhere}
h3{font-size:1rem;margin:1.2rem 0 .3rem}p{margin:.3rem 0}.soft{color:var(--soft)}.bad{color:var(--bad);font-weight:600}.good{color:var(--good);font-weight:600}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{padding:.35rem .6rem;border:1px solid var(--line);text-align:left;vertical-align:top;overflow-wrap:anywhere}
th{background:var(--band);font-weight:600;white-space:nowrap}.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.code{font:.82rem/1.5 ui-monospace,monospace;white-space:pre-wrap}mark{background:var(--mark);color:inherit;border-radius:2px}
.sides{display:grid;grid-template-columns:1fr 1fr;gap:.5rem}.sides>div{border:1px solid var(--line);background:var(--band);padding:.4rem .6rem;min-width:0;overflow-wrap:anywhere}
a{color:inherit}@media(max-width:45rem){.sides{grid-template-columns:1fr}}";

/// A page in the making.
#[derive(Debug)]
pub struct Page {
    title: String,
    body: String,
}

/// How a text is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// Less important.
    Soft,
    /// All is well; the words say so as well.
    Good,
    /// Something is wrong; the words say so as well.
    Bad,
    /// Fixed width.
    Code,
    /// Right-aligned in a table.
    Number,
}

/// Text in a tone: a cell of a table, or a paragraph.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    tone: Tone,
    link: Option<usize>,
}

impl Cell {
    /// Text in a tone.
    pub fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone, link: None }
    }

    /// Leads to the section with this number ([`Page::section`]).
    pub fn to_section(mut self, number: usize) -> Self {
        self.link = Some(number);
        self
    }

    fn html(&self) -> String {
        let text = escaped(&self.text);
        match self.link {
            Some(number) => format!("<a href=\"#s{number}\">{text}</a>"),
            None => text,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(Tone::Plain, text)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(Tone::Plain, text)
    }
}

impl Page {
    /// An empty page with a heading.
    pub fn new(title: &str) -> Self {
        let mut page = Self { title: title.to_owned(), body: String::new() };
        page.element("h1", "", title);
        page
    }

    /// A section's heading; `number` is what [`Cell::to_section`] leads to.
    pub fn section(&mut self, number: usize, heading: &str) {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(self.body, "<h2 id=\"s{number}\">{}</h2>", escaped(heading));
    }

    /// A heading within a section.
    pub fn heading(&mut self, heading: &str) {
        self.element("h3", "", heading);
    }

    /// A paragraph.
    pub fn paragraph(&mut self, cell: impl Into<Cell>) {
        let cell = cell.into();
        let _ = writeln!(self.body, "<p{}>{}</p>", class(cell.tone), cell.html());
    }

    /// A table; a row with fewer cells than there are columns is filled up.
    pub fn table(&mut self, columns: &[&str], rows: &[Vec<Cell>]) {
        self.body.push_str("<div class=\"scroll\"><table><thead><tr>");
        for column in columns {
            let _ = write!(self.body, "<th scope=\"col\">{}</th>", escaped(column));
        }
        self.body.push_str("</tr></thead><tbody>\n");
        for row in rows {
            self.body.push_str("<tr>");
            for at in 0..columns.len() {
                match row.get(at) {
                    Some(cell) => drop(write!(self.body, "<td{}>{}</td>", class(cell.tone), cell.html())),
                    None => self.body.push_str("<td></td>"),
                }
            }
            self.body.push_str("</tr>\n");
        }
        self.body.push_str("</tbody></table></div>\n");
    }

    /// Two texts side by side; what differs between their common beginning and end is marked.
    pub fn sides(&mut self, captions: [&str; 2], texts: [Option<&str>; 2]) {
        let marked = match texts {
            [Some(a), Some(b)] => marked(a, b),
            texts => texts.map(|text| text.map_or_else(|| "<span class=\"soft\">not there</span>".to_owned(), escaped)),
        };
        self.body.push_str("<div class=\"sides\">");
        for (caption, text) in captions.iter().zip(marked) {
            let _ = write!(self.body, "<div><span class=\"soft\">{}</span><div class=\"code\">{text}</div></div>", escaped(caption));
        }
        self.body.push_str("</div>\n");
    }

    /// The document.
    pub fn finish(self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<style>\n{STYLE}\n</style>\n</head>\n\
             <body>\n{}</body>\n</html>\n",
            escaped(&self.title),
            self.body
        )
    }

    fn element(&mut self, name: &str, class: &str, text: &str) {
        let _ = writeln!(self.body, "<{name}{class}>{}</{name}>", escaped(text));
    }
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Plain => "",
        Tone::Soft => " class=\"soft\"",
        Tone::Good => " class=\"good\"",
        Tone::Bad => " class=\"bad\"",
        Tone::Code => " class=\"code\"",
        Tone::Number => " class=\"number\"",
    }
}

/// Text as it must stand in an element or a quoted attribute; control and direction-changing characters made visible first.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in crate::text::one_line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn marked(a: &str, b: &str) -> [String; 2] {
    let front: usize = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).map(|(c, _)| c.len_utf8()).sum();
    let (rest_a, rest_b) = (&a[front..], &b[front..]);
    let back: usize = rest_a.chars().rev().zip(rest_b.chars().rev()).take_while(|(x, y)| x == y).map(|(c, _)| c.len_utf8()).sum();
    [a, b].map(|text| {
        let (before, rest) = text.split_at(front);
        let (middle, after) = rest.split_at(rest.len() - back);
        let middle = if middle.is_empty() { String::new() } else { format!("<mark>{}</mark>", escaped(middle)) };
        format!("{}{middle}{}", escaped(before), escaped(after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup_wherever_it_goes_in() {
        const EVIL: &str = "</title><script>alert('1')</script>\"onload=x\u{202e}\x1b";
        let mut page = Page::new(EVIL);
        page.section(1, EVIL);
        page.heading(EVIL);
        page.paragraph(EVIL);
        page.table(&[EVIL], &[vec![Cell::new(Tone::Code, EVIL).to_section(1)]]);
        page.sides([EVIL, EVIL], [Some(EVIL), Some("<b>")]);
        page.sides([EVIL, EVIL], [Some(EVIL), None]);
        let html = page.finish();
        for forbidden in ["<script", "<b>", "\u{202e}", "\x1b", "\"onload", "</title><"] {
            assert!(!html.contains(forbidden), "{forbidden} in {html}");
        }
    }

    #[test]
    fn a_page_names_no_address_and_forbids_itself_to_load_anything() {
        let mut page = Page::new("x");
        page.table(&["a", "b"], &[vec!["1".into()]]);
        let html = page.finish();
        assert!(html.contains("default-src 'none'"));
        for forbidden in ["http:", "https:", "//", "src=", "url(", "@import", "<link", "<script"] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        assert!(html.contains("<td>1</td><td></td></tr>"), "rows are filled up");
    }

    #[test]
    fn only_what_differs_is_marked() {
        assert_eq!(marked("a < 12:01 z", "a < 12:0345 z"), ["a &lt; 12:0<mark>1</mark> z", "a &lt; 12:0<mark>345</mark> z"]);
        assert_eq!(marked("aa", "a"), ["a<mark>a</mark>", "a"]);
        assert_eq!(marked("é", "è"), ["<mark>é</mark>", "<mark>è</mark>"]);
    }
}
