//! Finds where a statement ends, so that the shell can send it: the algorithm of SQLite's `sqlite3_complete()`
//! (src/complete.c), which knows strings, comments and that a CREATE TRIGGER ends with `; END;`. It decides
//! nothing else; what a statement means is for the server's SQLite to say.

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Semicolon = 0,
    Space = 1,
    Other = 2,
    Explain = 3,
    Create = 4,
    Temp = 5,
    Trigger = 6,
    End = 7,
}

const START: u8 = 1;

/// Next state by state and token; the rows are complete.c's INVALID, START, NORMAL, EXPLAIN, CREATE, TRIGGER,
/// SEMI and END.
const NEXT: [[u8; 8]; 8] = [
    [1, 0, 2, 3, 4, 2, 2, 2],
    [1, 1, 2, 3, 4, 2, 2, 2],
    [1, 2, 2, 2, 2, 2, 2, 2],
    [1, 3, 3, 2, 4, 2, 2, 2],
    [1, 4, 2, 2, 2, 4, 5, 2],
    [6, 5, 5, 5, 5, 5, 5, 5],
    [6, 6, 5, 5, 5, 5, 5, 7],
    [1, 7, 5, 5, 5, 5, 5, 5],
];

/// Takes whole statements off the front of `text`; what is left needs more lines.
pub(super) fn take_statements(text: &mut String) -> Vec<String> {
    let mut statements = Vec::new();
    let (mut start, mut at, mut state) = (0, 0, START);
    let mut is_empty = true;
    while let Some((token, length)) = token(&text.as_bytes()[at..]) {
        at += length;
        is_empty &= matches!(token, Token::Space | Token::Semicolon);
        state = NEXT[state as usize][token as usize];
        if token == Token::Semicolon && state == START {
            if !is_empty {
                statements.push(text[start..at].trim().to_owned());
            }
            (start, is_empty) = (at, true);
        }
    }
    text.drain(..start);
    statements
}

/// Whether there is nothing in `text` but space, comments and semicolons.
pub(super) fn is_blank(text: &str) -> bool {
    let mut at = 0;
    while let Some((token, length)) = token(&text.as_bytes()[at..]) {
        if !matches!(token, Token::Space | Token::Semicolon) {
            return false;
        }
        at += length;
    }
    at == text.len()
}

/// The first token and its length; none at the end, or if the token does not end yet.
fn token(text: &[u8]) -> Option<(Token, usize)> {
    let until = |needle: &[u8], from: usize| {
        let rest = text.get(from..)?;
        memchr::memmem::find(rest, needle).map(|found| from + found + needle.len())
    };
    Some(match *text.first()? {
        b';' => (Token::Semicolon, 1),
        b' ' | b'\t' | b'\r' | b'\n' | 0x0c => (Token::Space, 1),
        b'/' if text.get(1) == Some(&b'*') => (Token::Space, until(b"*/", 2)?),
        b'-' if text.get(1) == Some(&b'-') => (Token::Space, until(b"\n", 2)?),
        b'[' => (Token::Other, until(b"]", 1)?),
        quote @ (b'"' | b'\'' | b'`') => (Token::Other, until(&[quote], 1)?),
        byte if is_identifier(byte) => {
            let length = text.iter().take_while(|&&byte| is_identifier(byte)).count();
            (keyword(&text[..length]), length)
        }
        _ => (Token::Other, 1),
    })
}

fn is_identifier(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn keyword(word: &[u8]) -> Token {
    let words: [(&[u8], Token); 6] = [
        (b"create", Token::Create),
        (b"trigger", Token::Trigger),
        (b"temp", Token::Temp),
        (b"temporary", Token::Temp),
        (b"end", Token::End),
        (b"explain", Token::Explain),
    ];
    let found = words.iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
    found.map_or(Token::Other, |(_, token)| *token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> (Vec<String>, String) {
        let mut rest = text.to_owned();
        let statements = take_statements(&mut rest);
        (statements, rest)
    }

    #[test]
    fn statements_end_at_semicolons_outside_strings_and_comments() {
        let (statements, rest) = split("SELECT ';', \"a;b\", [c;d] -- x;\n/* ; */; ;\nSELECT 'it''s;é'; SEL");
        assert_eq!(
            statements,
            ["SELECT ';', \"a;b\", [c;d] -- x;\n/* ; */;", "SELECT 'it''s;é';"]
        );
        assert_eq!(rest.trim(), "SEL");
    }

    #[test]
    fn a_trigger_ends_with_its_end() {
        let trigger = "CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT 2; END;";
        assert_eq!(split(&format!("{trigger} SELECT 3;")).0, [trigger, "SELECT 3;"]);
        assert!(
            split("CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1;")
                .0
                .is_empty()
        );
        assert_eq!(split("CREATE TABLE trigger_log(x); SELECT 1;").0.len(), 2);
    }

    #[test]
    fn what_is_open_waits() {
        for text in ["SELECT 'a", "SELECT 1 /* ;", "SELECT 1", "-- ;"] {
            assert_eq!(split(text), (vec![], text.to_owned()));
        }
        assert!(is_blank(" ;\n/* x */ -- y\n") && !is_blank("SELECT") && !is_blank("/* x"));
    }
}
