//! Modules use only those below them, in the order that DESIGN.md gives ("Modules, bottom up").
//!
//! Read from the source: every `crate::module` outside of tests and comments.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Used by all, and using nobody.
const GROUND: &[&str] = &["causes", "clock", "durable", "failpoints", "port", "seed"];

#[test]
fn modules_use_only_those_below_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let order = order(&std::fs::read_to_string(root.join("DESIGN.md")).expect("DESIGN.md"));
    let place = |module: &str| order.iter().position(|one| one == module);
    let mut wrong = Vec::new();
    for path in sources(&root.join("src")) {
        let module = module_of(path.strip_prefix(root.join("src")).expect("below src"));
        let Some(own) = place(&module) else { continue };
        let text = std::fs::read_to_string(&path).expect("a source file");
        for used in uses(&text) {
            if GROUND.contains(&used.as_str()) {
                continue;
            }
            match place(&used) {
                Some(other) if other <= own => {}
                Some(_) => wrong.push(format!(
                    "{}: {module} uses {used}, which is above it",
                    path.display()
                )),
                None => wrong.push(format!("{}: {used} is not in DESIGN.md's order", path.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_has_its_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let order = order(&std::fs::read_to_string(root.join("DESIGN.md")).expect("DESIGN.md"));
    let text = std::fs::read_to_string(root.join("src/lib.rs")).expect("lib.rs");
    let declared = text.lines().filter(|line| line.ends_with(';'));
    let declared = declared.filter_map(|line| line.trim_end_matches(';').rsplit_once("mod "));
    for (_, module) in declared {
        let is_known =
            order.iter().any(|one| one == module) || GROUND.contains(&module) || module == "layers";
        assert!(is_known, "{module} has no place in DESIGN.md's order");
    }
}

/// The names in backquotes of the paragraph under the heading, up to its first full stop.
fn order(design: &str) -> Vec<String> {
    let (_, section) = design
        .split_once("## Modules, bottom up")
        .expect("DESIGN.md has the section");
    let list = section.split_once(".\n").map_or(section, |(list, _)| list);
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name == "tests" || name == "layers" {
            continue;
        }
        match path.is_dir() {
            true => found.extend(sources(&path)),
            false => found.push(path),
        }
    }
    found
}

fn module_of(path: &Path) -> String {
    let first = path
        .iter()
        .next()
        .and_then(|part| part.to_str())
        .unwrap_or_default();
    first.trim_end_matches(".rs").to_owned()
}

/// Modules that come after `crate::`, alone or in braces. An inline module of tests, at a file's end, may use all.
fn uses(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    let mut used = BTreeSet::new();
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(list) => used.extend(top_level_names(list)),
            None => used.extend(name(rest)),
        }
    }
    used
}

/// The first names of the parts of `a::b, c::{d, e}}…`.
fn top_level_names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut is_start) = (0, true);
    for (at, sign) in list.char_indices() {
        match sign {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_start = true,
            sign if is_start && !sign.is_whitespace() => {
                names.extend(name(&list[at..]));
                is_start = false;
            }
            _ => {}
        }
    }
    names
}

/// A module's name: an item of the crate's root begins with a capital.
fn name(text: &str) -> Option<String> {
    let end = text.find(|sign: char| !sign.is_ascii_lowercase() && sign != '_');
    let name = &text[..end.unwrap_or(text.len())];
    (!name.is_empty() && text[name.len()..].starts_with(['\n', ' ', ':', ',', '}', ';']))
        .then(|| name.to_owned())
}
