//! The rows that benchmarks print: one JSON object a line,
//! `{"name","ours","reference","unit","ratio","lo","hi","target","met"}`.

use serde_json::{Map, Value, json};

/// How rows are shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Style {
    /// As they come, one object a line, and nothing else on the output.
    Json,
    /// For people.
    Text,
    /// Only what ran, when the numbers mean nothing.
    Names,
}

/// Shows rows as they come and remembers their verdicts.
#[derive(Debug)]
pub(super) struct Report {
    style: Style,
    rows: usize,
    met: usize,
    missed: Vec<String>,
    unavailable: Vec<String>,
}

impl Report {
    pub(super) fn new(style: Style) -> Self {
        Self {
            style,
            rows: 0,
            met: 0,
            missed: Vec::new(),
            unavailable: Vec::new(),
        }
    }

    /// How many rows ran; those of peers that could not run are none.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// One line of a benchmark's output. What is not a row is shown as it is.
    pub(super) fn line(&mut self, line: &str) {
        let Some(row) = parse(line) else {
            match self.style {
                Style::Json => eprintln!("{line}"),
                Style::Text | Style::Names => println!("{line}"),
            }
            return;
        };
        if let Some(reason) = row.get("unavailable").and_then(Value::as_str) {
            self.unavailable(&text(&row["name"]), reason);
            return;
        }
        self.count(&row);
        match self.style {
            Style::Json => println!("{line}"),
            Style::Text => println!("{}", shown(&row)),
            Style::Names => println!("{}: ran", text(&row["name"])),
        }
    }

    /// A peer that cannot run: never met, never missed.
    pub(super) fn unavailable(&mut self, name: &str, reason: &str) {
        match self.style {
            Style::Json => println!("{}", json!({ "name": name, "unavailable": reason })),
            Style::Text | Style::Names => println!("{name}: unavailable: {reason}"),
        }
        self.unavailable.push(name.to_owned());
    }

    /// The last words.
    pub(super) fn sum_up(&self) {
        for line in self.summary() {
            match self.style {
                Style::Json => eprintln!("{line}"),
                Style::Text | Style::Names => println!("{line}"),
            }
        }
    }

    fn count(&mut self, row: &Map<String, Value>) {
        self.rows += 1;
        match row.get("met").and_then(Value::as_bool) {
            Some(true) => self.met += 1,
            Some(false) => self.missed.push(text(&row["name"])),
            None => {}
        }
    }

    fn summary(&self) -> Vec<String> {
        let judged = self.met + self.missed.len();
        let mut lines = vec![format!("{} of {judged} rows met their target", self.met)];
        if self.rows > judged {
            lines.push(format!("{} rows have none", self.rows - judged));
        }
        for (what, names) in [("missed", &self.missed), ("unavailable", &self.unavailable)] {
            if !names.is_empty() {
                lines.push(format!("{what}: {}", names.join(", ")));
            }
        }
        lines
    }
}

fn parse(line: &str) -> Option<Map<String, Value>> {
    let row: Value = serde_json::from_str(line.trim()).ok()?;
    let row = row.as_object()?;
    row.contains_key("name").then(|| row.clone())
}

/// `set/64B  ours 21.3 µs  reference 20.1 µs  result 1.06 [1.04, 1.08]  target 1.1: met  calls=1`.
fn shown(row: &Map<String, Value>) -> String {
    let field = |name: &str| row.get(name).map(text).unwrap_or_default();
    let unit = field("unit");
    let verdict = match row.get("met").and_then(Value::as_bool) {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "not judged",
    };
    let mut line = format!(
        "{:<40} ours {:>9} {unit}  reference {:>9} {unit}  result {:>6} [{}, {}]  target {}: {verdict}",
        field("name"),
        field("ours"),
        field("reference"),
        field("ratio"),
        field("lo"),
        field("hi"),
        field("target"),
    );
    const KNOWN: [&str; 9] = [
        "name",
        "ours",
        "reference",
        "unit",
        "ratio",
        "lo",
        "hi",
        "target",
        "met",
    ];
    let others = row
        .iter()
        .filter(|(name, _)| !KNOWN.contains(&name.as_str()));
    for (name, value) in others.filter(|(_, value)| !value.is_null()) {
        line.push_str(&format!("  {name}={}", text(value)));
    }
    line
}

/// Numbers with as many digits as they deserve.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if !number.is_i64() && !number.is_u64() => {
                let digits = if float.abs() >= 100.0 {
                    0
                } else if float.abs() >= 10.0 {
                    1
                } else {
                    3
                };
                format!("{float:.digits$}")
            }
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = r#"{"name":"set","ours":21.34,"reference":20.1,"unit":"us","ratio":1.0618,"lo":1.04,"hi":1.08,"target":1.1,"met":true,"calls":1}"#;

    fn report(lines: &[&str]) -> Report {
        let mut report = Report::new(Style::Text);
        for line in lines {
            report.line(line);
        }
        report
    }

    #[test]
    fn counts_what_was_met_and_names_what_was_not() {
        let missed = r#"{"name":"get","ratio":1.5,"target":1.1,"met":false}"#;
        let unjudged = r#"{"name":"scan","ratio":1.5,"target":null,"met":null}"#;
        let report = report(&[ROW, missed, unjudged, "compiling", "{}", "3"]);
        assert_eq!(report.len(), 3);
        assert_eq!(
            report.summary(),
            [
                "1 of 2 rows met their target",
                "1 rows have none",
                "missed: get"
            ]
        );
    }

    #[test]
    fn what_could_not_run_is_neither() {
        let mut report = report(&[r#"{"name":"other","unavailable":"no server","met":true}"#]);
        report.unavailable("third", "does not build");
        assert!(report.is_empty());
        assert_eq!(
            report.summary(),
            ["0 of 0 rows met their target", "unavailable: other, third"]
        );
    }

    #[test]
    fn a_row_is_shown_with_all_it_says() {
        let line = shown(&parse(ROW).unwrap());
        for part in [
            "set",
            "21.3 us",
            "1.062 [1.040, 1.080]",
            "target 1.100: met",
            "calls=1",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }
}
