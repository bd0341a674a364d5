//! Laws of the store.

use super::*;
use object_store::{PutMode, UpdateVersion};

fn directory() -> (Store, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let url = url::Url::from_directory_path(directory.path()).expect("absolute");
    (
        Store::open(&Config::new(url)).expect("a directory opens"),
        directory,
    )
}

#[tokio::test]
async fn an_object_is_written_once_and_its_writer_recognised() {
    let (in_directory, _directory) = directory();
    for store in [Store::memory(), in_directory] {
        let path = Path::from("names/x/1");
        let put = |content: &'static [u8]| store.put_if_absent(&path, Bytes::from_static(content));
        assert_eq!(put(b"a").await.expect("put"), PutOutcome::Created);
        assert_eq!(put(b"a").await.expect("put"), PutOutcome::Ours);
        assert_eq!(
            put(b"b").await.expect("put"),
            PutOutcome::Exists(Bytes::from_static(b"a"))
        );
        assert_eq!(
            store.get(&path).await.expect("get"),
            Some(Bytes::from_static(b"a"))
        );
        assert_eq!(store.get(&"names/y/1".into()).await.expect("get"), None);
    }
}

#[tokio::test]
async fn an_object_in_a_directory_is_replaced_only_if_it_is_the_one_that_was_read() {
    let (store, _directory) = directory();
    let path = Path::from("db/x/1/gc/manifest.boundary");
    let objects = store.objects();
    let first = objects.put(&path, "0".into()).await.expect("put");
    let tag = |e_tag| PutMode::Update(UpdateVersion { e_tag, version: None });
    let replace = |content: u32, mode: PutMode| {
        let (objects, path) = (objects.clone(), path.clone());
        async move {
            objects
                .put_opts(&path, content.to_string().into(), mode.into())
                .await
        }
    };
    let rivals = (1..=16).map(|content| replace(content, tag(first.e_tag.clone())));
    let outcomes = futures::future::join_all(rivals).await;
    let won: Vec<usize> = (0..16).filter(|rival| outcomes[*rival].is_ok()).collect();
    assert_eq!(won.len(), 1, "{outcomes:?}");
    for outcome in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(Kind::of(outcome), Kind::Conflict, "{outcome:?}");
    }
    let found = store.get(&path).await.expect("get").expect("there");
    assert_eq!(found, (won[0] + 1).to_string());
}

#[test]
fn areas_are_told_by_the_place_in_the_path_and_not_by_names() {
    for (path, area) in [
        ("db/1/00000000000000000001/manifest/1.manifest", Area::Manifest),
        ("db/1/00000000000000000001/compacted/1.sst", Area::Compacted),
        ("db/1/owner/00000000000000000001", Area::Owner),
        ("names/manifest/1", Area::Names),
        ("archive/wal/1/2", Area::Archive),
        ("groups/x", Area::Other),
    ] {
        assert_eq!(Area::of(&Path::from(path)), area, "{path}");
    }
}

#[test]
fn a_scheme_that_no_store_has_is_refused() {
    let config = Config::new("ftp://host/x".parse().expect("a URL"));
    assert!(matches!(Store::open(&config), Err(ConfigError::Scheme { .. })));
}

#[test]
fn keys_do_not_appear_in_debug_output() {
    let mut config = Config::new("s3://bucket".parse().expect("a URL"));
    config.credentials = Credentials::Keys {
        id: "id".to_owned(),
        secret: Secret("hidden".to_owned()),
    };
    assert!(!format!("{config:?}").contains("hidden"));
}
