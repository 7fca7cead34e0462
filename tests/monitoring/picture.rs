//! `docs/dashboard.svg`: the panels of the dashboard where they lie in Grafana, with what their queries give for two running
//! operators. Not Grafana's picture, and of one moment: of a graph the values of its lines are written, no curve is drawn.
//!
//! The values differ with each run, so the file that is kept is held to its panels only. `UPDATE=1 cargo test --test
//! monitoring` writes it anew.

use std::fmt::Write;

use serde_json::Value;

use crate::files::{dashboard, read};
use crate::promtool::Sample;

pub const FILE: &str = "docs/dashboard.svg";
/// A unit of Grafana's grid, and the room above it, in pixels.
const COLUMN: f64 = 40.0;
const ROW: f64 = 22.0;
const TOP: f64 = 52.0;
const LINE: f64 = 16.0;
const STYLE: &str = "text{font:12px sans-serif;fill:#24292f}.page{fill:#f3f4f6}.panel{fill:#fff;stroke:#d0d7de}\
    .heading{font-size:14px;font-weight:bold}.title{font-size:11.5px;font-weight:bold}\
    .title.on{font-size:11px;font-weight:normal}.big{font-size:26px;text-anchor:middle}.end{text-anchor:end}\
    .note{fill:#57606a}text.on{fill:#fff}.green{fill:#2e7d32}.orange{fill:#b45309}.red{fill:#c62828}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#0d1117}\
    .panel{fill:#161b22;stroke:#30363d}.note{fill:#9aa4af}}";
const CAPTION: [&str; 2] = [
    "Drawn by a test, not by Grafana: the dashboard's queries on two scrapes of an operator and its waiting replica, one before and one",
    "after what the test does in a simulated account, as if a minute apart. It is one moment, so graphs are the values of their lines.",
];

/// A picture that is being drawn.
struct Svg(String);

impl Svg {
    fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        writeln!(self.0, r#"<text class="{class}" x="{x:.0}" y="{y:.0}">{text}</text>"#).unwrap();
    }

    fn area(&mut self, class: &str, [x, y, w, h]: [f64; 4]) {
        let place = format!(r#"x="{x:.0}" y="{y:.0}" width="{w:.0}" height="{h:.0}""#);
        writeln!(self.0, r#"<rect class="{class}" {place} rx="3"/>"#).unwrap();
    }
}

fn targets(panel: &Value) -> &[Value] {
    panel["targets"].as_array().unwrap()
}

/// A value in its unit, as a person reads it.
fn shown(value: f64, unit: &str) -> String {
    let number = (value * 1000.0).round() / 1000.0;
    match unit {
        "s" if value != 0.0 && value.abs() < 1.0 => format!("{:.0} ms", value * 1000.0),
        "s" if value.abs() < 60.0 => format!("{} s", (value * 10.0).round() / 10.0),
        "s" => format!("{:.0} min", value / 60.0),
        "reqps" => format!("{number} req/s"),
        "ops" => format!("{number} ops/s"),
        "bool_yes_no" => (if value == 0.0 { "No" } else { "Yes" }).to_owned(),
        "none" | "short" => number.to_string(),
        _ => panic!("the picture does not know the unit {unit}"),
    }
}

/// The colour of the last threshold that is reached.
fn colour(thresholds: &Value, value: f64) -> &str {
    let steps = thresholds["steps"].as_array().unwrap().iter();
    let reached = steps.rev().find(|step| step["value"].as_f64().is_none_or(|from| from <= value));
    reached.unwrap()["color"].as_str().unwrap()
}

/// One big number, on the colour of its threshold.
fn stat(svg: &mut Svg, [x, y, w, h]: [f64; 4], panel: &Value, answers: &[Vec<Sample>]) {
    let defaults = &panel["fieldConfig"]["defaults"];
    let value = answers[0].first().map(|(_, value)| *value);
    let text = value.map(|value| shown(value, defaults["unit"].as_str().unwrap()));
    let (class, on) = value.map_or(("panel", ""), |value| (colour(&defaults["thresholds"], value), "on"));
    svg.area(class, [x, y, w, h]);
    let text = text.as_deref().or(defaults["noValue"].as_str()).unwrap();
    svg.text(&format!("big {on}"), x + w / 2.0, y + h / 2.0 + 18.0, text);
    svg.text(&format!("title {on}"), x + 6.0, y + 16.0, panel["title"].as_str().unwrap());
}

/// The lines of a graph, each with the value that it has now, the highest first.
fn lines(panel: &Value, answers: &[Vec<Sample>]) -> Vec<Vec<String>> {
    let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap();
    let mut all = vec![];
    for (target, samples) in targets(panel).iter().zip(answers) {
        // Of what is not a number a graph has no line.
        for (labels, value) in samples.iter().filter(|(_, value)| !value.is_nan()) {
            let mut name = target["legendFormat"].as_str().unwrap().to_owned();
            for (key, value) in labels {
                name = name.replace(&format!("{{{{{key}}}}}"), value);
            }
            all.push((*value, name));
        }
    }
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    all.into_iter().map(|(value, name)| vec![name, shown(value, unit)]).collect()
}

/// A row for each set of labels that the first query gives, a column for each label and query.
fn rows(panel: &Value, answers: &[Vec<Sample>]) -> Vec<Vec<String>> {
    let first = answers[0].iter().map(|(labels, _)| labels);
    let mut header: Vec<String> =
        answers[0].first().map_or(vec![], |(labels, _)| labels.keys().cloned().collect());
    let mut rows: Vec<Vec<String>> = first.clone().map(|labels| labels.values().cloned().collect()).collect();
    let config = &panel["fieldConfig"];
    for (target, samples) in targets(panel).iter().zip(answers) {
        let value = format!("Value #{}", target["refId"].as_str().unwrap());
        let name = panel["transformations"][1]["options"]["renameByName"][value].as_str().unwrap();
        let own =
            config["overrides"].as_array().unwrap().iter().find(|one| one["matcher"]["options"] == name);
        let own = own.map(|own| own["properties"].as_array().unwrap()).into_iter().flatten();
        let mut own = own.filter(|property| property["id"] == "unit").map(|property| &property["value"]);
        let unit = own.next().unwrap_or(&config["defaults"]["unit"]).as_str().unwrap();
        header.push(name.to_owned());
        for (row, labels) in rows.iter_mut().zip(first.clone()) {
            let value = samples.iter().find(|(others, _)| others == labels).map(|(_, value)| *value);
            row.push(value.map(|value| shown(value, unit)).unwrap_or_default());
        }
    }
    rows.insert(0, header);
    rows
}

/// Rows of words, in columns of one width; those after the first are on the right of theirs.
fn grid(svg: &mut Svg, [x, y, w, h]: [f64; 4], rows: &[Vec<String>]) {
    let room = ((h - 30.0) / LINE) as usize;
    let kept = if rows.len() > room { room - 1 } else { rows.len() };
    for (row, words) in rows[..kept].iter().enumerate() {
        let below = y + 36.0 + LINE * row as f64;
        svg.text("", x + 6.0, below, &words[0]);
        let width = w / words.len() as f64;
        for (column, word) in words.iter().enumerate().skip(1) {
            svg.text("end", x + width * (column + 1) as f64 - 6.0, below, word);
        }
    }
    if rows.is_empty() || kept < rows.len() {
        let note = if rows.is_empty() { "no data".into() } else { format!("and {} more", rows.len() - kept) };
        svg.text("note", x + 6.0, y + 36.0 + LINE * kept as f64, &note);
    }
}

/// The dashboard, with the answers to the queries of each panel, in the order of the panels.
pub fn drawn(answers: &[Vec<Vec<Sample>>]) -> String {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let side = |panel: &Value, key: &str| panel["gridPos"][key].as_f64().unwrap();
    let height = panels.iter().map(|panel| side(panel, "y") + side(panel, "h")).fold(0.0, f64::max);
    let (width, height) = (24.0 * COLUMN, TOP + height * ROW);
    let mut svg = Svg(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\">\n<style>{STYLE}</style>\n"
    ));
    svg.area("page", [0.0, 0.0, width, height]);
    svg.text("note", 6.0, 18.0, CAPTION[0]);
    svg.text("note", 6.0, 34.0, CAPTION[1]);
    let mut answers = answers.iter();
    for panel in panels {
        let [x, y] = [side(panel, "x") * COLUMN, TOP + side(panel, "y") * ROW];
        let place = [x + 2.0, y + 2.0, side(panel, "w") * COLUMN - 4.0, side(panel, "h") * ROW - 4.0];
        let title = panel["title"].as_str().unwrap();
        if panel["type"] == "row" {
            svg.text("heading", x + 6.0, y + 16.0, title);
            continue;
        }
        let answers = answers.next().unwrap();
        if panel["type"] == "stat" {
            stat(&mut svg, place, panel, answers);
            continue;
        }
        svg.area("panel", place);
        svg.text("title", x + 8.0, y + 18.0, title);
        let words = if panel["type"] == "table" { rows } else { lines };
        grid(&mut svg, place, &words(panel, answers));
    }
    svg.0 + "</svg>\n"
}

/// The start tags, each with the text after it. The error says why it is no XML; it knows what a picture has, no more.
fn elements(svg: &str) -> Result<Vec<(&str, &str)>, String> {
    let (mut open, mut found) = (vec![], vec![]);
    for part in svg.split('<').skip(1) {
        let (tag, text) = part.split_once('>').ok_or_else(|| format!("<{part} has no end"))?;
        let entity = |rest: &str| ["amp;", "lt;", "gt;"].iter().any(|known| rest.starts_with(known));
        if !text.split('&').skip(1).all(entity) || tag.matches('"').count() % 2 == 1 {
            return Err(format!("<{part} has a stray & or quote"));
        }
        match (tag.strip_prefix('/'), tag.ends_with('/')) {
            (Some(name), _) if open.pop() != Some(name) => return Err(format!("</{name}> ends nothing")),
            (None, false) => open.push(tag.split(' ').next().unwrap()),
            _ => {}
        }
        if open.is_empty() && !text.trim().is_empty() {
            return Err(format!("{text:?} is outside"));
        }
        if !tag.starts_with('/') {
            found.push((tag, text));
        }
    }
    if open.is_empty() { Ok(found) } else { Err(format!("{open:?} have no end")) }
}

/// Fails unless it is a picture of all headings and panels of the dashboard, in their order, and of nothing else.
pub fn assert_shows_the_dashboard(svg: &str) {
    let elements = elements(svg).unwrap_or_else(|e| panic!("{FILE}: {e}"));
    let titled = |tag: &str| tag.contains("class=\"title") || tag.contains("class=\"heading");
    let shown: Vec<&str> =
        elements.into_iter().filter(|(tag, _)| titled(tag)).map(|(_, text)| text).collect();
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let titles: Vec<&str> = panels.map(|panel| panel["title"].as_str().unwrap()).collect();
    assert_eq!(shown, titles, "UPDATE=1 cargo test --test monitoring writes {FILE} anew");
    assert!(svg.len() < 40_000, "{FILE} has {} bytes", svg.len());
}

#[test]
fn the_picture_has_every_panel() {
    assert_shows_the_dashboard(&read(FILE));
    for wrong in
        ["<svg><g></svg>", "<svg><g></g>", "<svg>a & b</svg>", "<svg a=\"></svg>", "<svg/>more", "<svg"]
    {
        assert!(elements(wrong).is_err(), "{wrong}");
    }
}
