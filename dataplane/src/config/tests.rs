//! What is taken, what is refused, and that the printed template says what the defaults are.

use super::*;

#[test]
fn the_template_is_the_defaults() {
    let printed = Config::parse(&template()).expect("valid");
    let default = Config::load(None, Overrides::default()).expect("valid");
    assert_eq!(format!("{printed:?}"), format!("{default:?}"));
}

#[test]
fn every_commented_key_of_the_template_is_known() {
    let text: String = template()
        .lines()
        .map(|line| match line.trim_start().strip_prefix("# ") {
            // `# key: value` is an example of a key; a sentence has a space before its colon.
            Some(rest)
                if rest.split(':').next().is_some_and(|key| !key.contains(' ')) && rest.contains(": ") =>
            {
                let indent = &line[..line.len() - line.trim_start().len()];
                format!("{indent}{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let config = Config::parse(&text).expect("valid");
    assert_eq!(config.object_store.url.as_str(), "file:///var/lib/orion/objects");
    assert_eq!(config.client_url(), "http://orion.example.com");
}

#[test]
fn unknown_keys_are_refused_by_name() {
    for text in [
        "lisen: 127.0.0.1:1",
        "limits:\n  size: 5",
        "object_store:\n  uri: s3://b",
    ] {
        let error = Config::parse(text).expect_err(text).to_string();
        let last = text.lines().last().expect("a line").trim();
        let name = last.split(':').next().expect("a key");
        assert!(error.contains(name), "{error} does not name {name}");
    }
}

#[test]
fn values_that_cannot_be_used_are_refused_with_their_key() {
    let cases = [
        ("listen: nowhere", "listen"),
        ("group: Not Valid", "group"),
        ("more_groups: [Not Valid]", "more_groups"),
        ("group: a\nmore_groups: [b, a]", "more_groups"),
        ("more_groups: [b, b]", "more_groups"),
        ("public_url: ftp://x/", "public_url"),
        ("object_store: {url: 'no url'}", "object_store.url"),
        (
            "object_store: {total_timeout_ms: 1}",
            "object_store.total_timeout_ms",
        ),
        ("limits: {statement_time_ms: 0}", "limits.statement_time_ms"),
        ("archive: {interval_ms: 0}", "archive.interval_ms"),
        ("archive: {log_bytes_max: 1}", "archive.log_bytes_max"),
        ("archive: {retention_hours: 0}", "archive.retention_hours"),
        ("auth: {public_keys: [x]}", "auth.public_keys"),
        ("auth: {public_key_files: [/no/such]}", "auth.public_key_files"),
        ("auth: {tokens: [{token: short}]}", "auth.tokens"),
        ("limits: {streams: 0}", "limits.streams"),
        ("limits: {streams_total: 0}", "limits.streams_total"),
        ("limits: {connections_max: 0}", "limits.connections_max"),
        ("limits: {body_bytes_total: 1000000}", "limits.body_bytes_total"),
        ("limits: {reply_bytes_total: 1000000}", "limits.reply_bytes_total"),
        ("http: {head_timeout_ms: 0}", "http.head_timeout_ms"),
        ("http: {bytes_per_second_min: 0}", "http.bytes_per_second_min"),
        (
            "transactions: {idle_timeout_ms: 100000}",
            "transactions.total_timeout_ms",
        ),
        (
            "materialize: {node_overlay_bytes: 1}",
            "materialize.node_overlay_bytes",
        ),
    ];
    for (text, key) in cases {
        let error = Config::parse(text).expect_err(text).to_string();
        assert!(error.contains(&format!("`{key}`")), "{text}: {error}");
    }
}

#[test]
fn settings_reach_the_parts() {
    let config =
        Config::parse("data_dir: /d\ndefault_database: ''\nlimits: {streams: 7, result_bytes: 5000}")
            .expect("valid");
    assert_eq!(config.default_database, None);
    assert_eq!(config.object_store.url.as_str(), "file:///d/objects/");
    let options = config.database_options();
    assert_eq!((options.streams_max, options.sql.result_bytes), (7, 5000));
    let node = config.node_options();
    assert_eq!(
        (node.data_dir, node.store.url),
        (PathBuf::from("/d"), config.object_store.url)
    );
    assert_eq!(options.temp_dir, PathBuf::from("/d/temp"));
}

#[test]
fn the_command_line_wins_over_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("orion.yaml");
    std::fs::write(&path, "listen: 127.0.0.1:1\ndata_dir: /file\n").expect("written");
    let overrides = Overrides {
        data_dir: Some("/line".into()),
        listen: None,
    };
    let config = Config::load(Some(&path), overrides).expect("valid");
    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.object_store.url.as_str(), "file:///line/objects/");
    let missing =
        Config::load(Some(&directory.path().join("none")), Overrides::default()).expect_err("missing");
    assert!(missing.to_string().contains("none"));
}

#[test]
fn tokens_and_keys_turn_auth_on_and_are_never_shown() {
    assert!(matches!(Config::parse("").expect("valid").auth, Auth::Disabled));
    let config = Config::parse("auth: {tokens: [{token: 0123456789abcdef, access: ro}]}").expect("valid");
    let grant = config.auth.verify(Some("0123456789abcdef")).expect("good");
    assert!(grant.admin().is_err());
    assert!(config.auth.verify(None).is_err());
    assert!(!format!("{config:?}").contains("0123456789abcdef"));
}

#[test]
fn an_address_that_others_reach_needs_certificates() {
    let parse = |cluster: &str| Config::parse(&format!("cluster: {{{cluster}}}\n"));
    let refused = parse("listen: '10.0.0.1:8092'").expect_err("anybody could be a node");
    assert!(refused.to_string().contains("cluster.tls"), "{refused}");
    for fine in [
        "listen: '127.0.0.1:8092'",
        "listen: '10.0.0.1:8092', insecure: true",
    ] {
        let config = parse(fine).expect(fine);
        assert!(config.cluster.is_some());
    }
}
