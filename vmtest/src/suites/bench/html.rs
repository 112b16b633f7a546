// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The report for a browser: one file, bars drawn inline, nothing fetched.

use std::fmt::Write as _;

use vmtest_wire::bench::Figure;

use super::table::groups;
use super::Report;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
h2{font-size:1rem;margin:2rem 0 .3rem}svg{width:100%;height:auto}text{font:12px system-ui,sans-serif;fill:#222}\
table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left}.missed{color:#b3261e;font-weight:600}\
@media(prefers-color-scheme:dark){body{background:#16181c;color:#ddd}text{fill:#ddd}.missed{color:#ff8a80}}";

/// Width of the drawing, of the names to the left and of the numbers to the right.
const WIDTH: f64 = 900.0;
const NAMES: f64 = 130.0;
const NUMBERS: f64 = 210.0;
const ROW: f64 = 22.0;

/// The whole page.
pub(super) fn render(report: &Report) -> String {
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>ondine bench</title>\
         <style>{STYLE}</style><h1>ondine bench</h1>\
         <p>Linux {}, ondine {}. Instructions of a guest with one processor and a disk in memory, \
         the least of several repeats; all drivers in one boot on the same image files.</p>",
        escape(&report.kernel),
        escape(&report.commit)
    );
    out.push_str("<table><tr><th>target<th>at most<th>measured<th></tr>");
    for target in &report.targets {
        let (class, word) = if target.met {
            ("", "met")
        } else {
            (" class=\"missed\"", "missed")
        };
        let _ = write!(
            out,
            "<tr{class}><td>{}<td>{:.2}<td>{}<td>{word}</tr>",
            escape(&target.what),
            target.at_most,
            target.measured()
        );
    }
    out.push_str("</table>");
    for group in groups(&report.figures) {
        let first = group[0];
        let title = escape(&format!("{}, {}, {}", first.work, first.form, first.state));
        let _ = write!(out, "<h2>{title}</h2>{}", bars(&title, &group));
    }
    for refused in &report.refused {
        let line = format!("{} on {}: {}", refused.place, refused.form, refused.errno);
        let _ = write!(out, "<p>Not measured: {}</p>", escape(&line));
    }
    out.push_str("</html>\n");
    out
}

fn bars(title: &str, group: &[&Figure]) -> String {
    let most = group
        .iter()
        .map(|f| f.instructions)
        .max()
        .unwrap_or(1)
        .max(1) as f64;
    let room = WIDTH - NAMES - NUMBERS;
    let height = ROW * group.len() as f64;
    let mut out =
        format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">");
    for (n, figure) in group.iter().enumerate() {
        let top = ROW * n as f64;
        let width = (figure.instructions as f64 / most * room).max(1.0);
        let colour = if figure.place.is_ondine() {
            "#1f77b4"
        } else if figure.place.as_str().starts_with('C') {
            "#d98b2b"
        } else {
            "#8a8f98"
        };
        let base = top + 15.0;
        let _ = write!(
            out,
            "<text x=\"0\" y=\"{base}\">{}</text>\
             <rect x=\"{NAMES}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"16\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{base}\">{:.2} M, {} reads</text>",
            escape(figure.place.as_str()),
            top + 3.0,
            NAMES + width + 8.0,
            figure.instructions as f64 / 1e6,
            figure.reads,
        );
    }
    out.push_str("</svg>");
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suites::bench::tests::figure;
    use vmtest_wire::bench::{MountUnderTest, State, Workload};

    #[test]
    fn the_longest_bar_fills_its_room_and_text_is_escaped() {
        let c = figure(
            Workload::Walk,
            State::Warm,
            MountUnderTest::CFile,
            4_000_000,
        );
        let ours = figure(
            Workload::Walk,
            State::Warm,
            MountUnderTest::OndineFile,
            1_000_000,
        );
        let page = render(&Report {
            schema: 1,
            kernel: "k".to_owned(),
            oracle: String::new(),
            commit: "c".to_owned(),
            figures: vec![c, ours],
            refused: Vec::new(),
            targets: Vec::new(),
            misses: None,
        });
        assert!(page.contains("walk, root tree, warm"));
        assert_eq!(escape("a<b & \"c\""), "a&lt;b &amp; &quot;c&quot;");
        assert!(page.contains("width=\"560.0\"") && page.contains("width=\"140.0\""));
    }
}
