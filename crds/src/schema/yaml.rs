//! YAML for people and for every reader: block style, keys in the order of the value, strings quoted where a reader of
//! YAML 1.1 (kubectl, Helm) would take them for something else. Only writes.

use serde_json::{Map, Value};

/// A document's text, ending in a newline.
pub fn to_text(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(map, 0, &mut text),
        Value::Array(list) if !list.is_empty() => sequence(list, 0, &mut text),
        other => {
            scalar(other, 0, &mut text);
            text.push('\n');
        }
    }
    text
}

fn mapping(map: &Map<String, Value>, indent: usize, text: &mut String) {
    for (position, (key, value)) in map.iter().enumerate() {
        // The first key of an entry stands behind its dash.
        if position > 0 || !text.ends_with("- ") {
            text.push_str(&" ".repeat(indent));
        }
        quoted(key, text);
        text.push(':');
        below(value, indent, text);
    }
}

fn below(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('\n');
            mapping(map, indent + 2, text);
        }
        Value::Array(list) if !list.is_empty() => {
            text.push('\n');
            sequence(list, indent, text);
        }
        other => {
            text.push(' ');
            scalar(other, indent, text);
            text.push('\n');
        }
    }
}

fn sequence(list: &[Value], indent: usize, text: &mut String) {
    for value in list {
        text.push_str(&" ".repeat(indent));
        text.push_str("- ");
        match value {
            Value::Object(map) if !map.is_empty() => mapping(map, indent + 2, text),
            other => {
                scalar(other, indent, text);
                text.push('\n');
            }
        }
    }
}

fn scalar(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::String(string) if is_block(string) => block(string, indent + 2, text),
        Value::String(string) => quoted(string, text),
        // Empty ones, and lists within lists: JSON is YAML.
        other => text.push_str(&other.to_string()),
    }
}

/// Several lines that a block can hold as they are.
fn is_block(string: &str) -> bool {
    string.contains('\n')
        && !string.starts_with([' ', '\n'])
        && !string.ends_with("\n\n")
        && string.chars().all(|c| c == '\n' || !c.is_control())
        && string.lines().all(|line| !line.ends_with(' '))
}

fn block(string: &str, indent: usize, text: &mut String) {
    text.push_str(if string.ends_with('\n') { "|" } else { "|-" });
    for line in string.lines() {
        text.push('\n');
        if !line.is_empty() {
            text.push_str(&" ".repeat(indent));
            text.push_str(line);
        }
    }
}

fn quoted(string: &str, text: &mut String) {
    match is_plain(string) {
        true => text.push_str(string),
        false => double_quoted(string, text),
    }
}

/// JSON's strings are YAML's double-quoted ones, but for characters that YAML does not print and JSON does.
fn double_quoted(string: &str, text: &mut String) {
    for c in Value::from(string).to_string().chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => text.push(c),
        }
    }
}

/// Whether every reader takes it for this string without quotes. Says no where it is not sure.
fn is_plain(string: &str) -> bool {
    const WORDS: [&str; 14] = [
        "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "-inf", "~", "=",
    ];
    let begins = string
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '/' | '.' | '_' | '$'));
    let holds = |c: char| c.is_ascii_alphanumeric() || " -_./$(),;+<>'".contains(c);
    begins
        && string.chars().all(holds)
        && !string.ends_with(' ')
        && !WORDS.contains(&string.to_ascii_lowercase().as_str())
        && !string
            .trim_start_matches('.')
            .starts_with(|c: char| c.is_ascii_digit())
        && ![".inf", ".nan"].contains(&string.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read_back() {
        let value = json!({
            "words": ["y", "No", "on", "~", "null", "1e3", "0x1f", "012", "12:30", "", " a ", "a: b", "- a", "#a", "a #b"],
            "nested": [{"a": 1, "b": {"c": [], "d": {}, "e": [[1, 2], ["x"]]}}, {"a": null}],
            "text": "first\n  second\n\nthird\n",
            "tail": "first\nsecond",
            "odd": "first \nsecond\n\n",
            "on": true,
            "number": -1.5,
            "unicode": "größer ≥ \u{7f}\t",
            "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"
        });
        let text = to_text(&value);
        let back: Value = serde_saphyr::from_str(&text).expect("what was written is YAML");
        assert_eq!(back, value, "{text}");
        assert!(text.contains("\"on\": true"), "{text}");
        assert!(text.contains("- \"No\""), "{text}");
    }
}
