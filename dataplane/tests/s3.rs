//! Store, base and owner chains over a real S3 server, quiet and troubled.
//!
//! The law under trouble: every operation ends in success or in a typed error, and never in wrong data.

#[path = "support/race.rs"]
mod race;
#[path = "support/s3.rs"]
#[allow(dead_code, reason = "shared with the tests of a whole node")]
mod support;

use bytes::Bytes;
use futures::future::join_all;
use object_store::path::Path;
use orion::base::{self, Bases, Checkpoint, Header, Options};
use orion::owner::{self, Cause, Chains, Claim, Incarnation, Owner};
use orion::page::{Chain, Extent, Image, PageNo, PageSize};
use orion::store::{Area, Credentials, Kind, Operation, PutOutcome, Store};
use orion_api::{DatabaseId, Epoch, Version};
use race::exactly_one_wins;
use std::time::{Duration, Instant};
use support::{KEY_ID, S3Server, SECRET, Trouble};
use uuid::Uuid;

const EPOCH: Epoch = Epoch(1);

const ALL_TROUBLE: Trouble = Trouble {
    throttled: 40,
    failed: 40,
    slow: 40,
    garbage: 40,
    lost_request: 40,
    lost_reply: 40,
};

fn store(server: &S3Server) -> Store {
    Store::open(&server.store_config()).expect("opens without a request")
}

fn bases(store: &Store) -> Bases {
    let options = Options {
        garbage_age: Duration::ZERO,
        read_timeout: Duration::from_secs(5),
        write_timeout: Duration::from_secs(10),
        retries: 2,
        ..Options::default()
    };
    Bases::new(store.clone(), options)
}

fn no(number: u32) -> PageNo {
    PageNo::new(number).expect("from 1")
}

/// Another for each page and version.
fn image(no: u32, version: u64) -> Image {
    let word = u64::from(no) << 32 | version;
    let words = (0..512u64).map(|place| {
        word.wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(place as u32 % 64)
            ^ place
    });
    words.flat_map(u64::to_be_bytes).collect::<Vec<_>>().into()
}

/// Open, pages, header, checkpoint, close.
async fn materialize(
    bases: &Bases,
    database: DatabaseId,
    version: u64,
    pages: u32,
) -> Result<Checkpoint, base::Error> {
    let mut writer = bases.writer(database, EPOCH).await?;
    let images = (1..=pages).map(|number| (no(number), Version(version), image(number, version)));
    writer.put_pages(images).await?;
    let header = Header {
        database,
        epoch: EPOCH,
        version: Version(version),
        extent: Extent {
            page_count: pages,
            page_size: Some(PageSize::DEFAULT),
        },
        chain: Chain::START,
    };
    writer.put_header(&header).await?;
    let checkpoint = writer.checkpoint(Version(version)).await?;
    writer.close().await?;
    Ok(checkpoint)
}

fn first_owner(database: DatabaseId) -> Owner {
    Owner {
        database,
        epoch: EPOCH,
        group: "main".parse().expect("a name"),
        incarnation: Incarnation(1),
        start_version: Version(0),
        checkpoint: None,
        chain: Chain::START,
        cause: Cause::Created,
        operation: Uuid::new_v4(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_base_on_s3_is_exact_and_a_cold_read_is_fast() {
    let server = S3Server::start(1).await.expect("server");
    let store = store(&server);
    let database = DatabaseId::random();
    let warm = bases(&store);
    let first = materialize(&warm, database, 1, 40).await.expect("materialize");
    let second = materialize(&warm, database, 2, 20).await.expect("materialize");
    warm.compact(database, EPOCH).await.expect("compact");
    warm.collect_garbage(database, EPOCH).await.expect("collect");
    let third = materialize(&warm, database, 3, 1).await.expect("materialize");
    for (at, number, version) in [
        (first, 40, 1),
        (second, 20, 2),
        (second, 21, 1),
        (third, 1, 3),
        (third, 2, 2),
    ] {
        let start = Instant::now();
        let page = bases(&store)
            .page(&at, no(number))
            .await
            .expect("read")
            .expect("stored");
        println!("cold read: {:?}", start.elapsed());
        assert!(page.image == image(number, version), "page {number} at {at:?}");
    }
    assert_eq!(store.metrics().count(Operation::Head, Area::Wal).requests, 0);
    warm.purge(database).await.expect("purge");
    assert!(
        store
            .list(&Path::from(format!("db/{database}")))
            .await
            .expect("list")
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_racing_puts_exactly_one_wins_and_the_others_see_it() {
    let server = S3Server::start(2).await.expect("server");
    let store = store(&server);
    for round in 0..5 {
        let path = Path::from(format!("names/x/{round}"));
        exactly_one_wins(&store, &path, 32).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_reply_was_lost_is_recognised_as_ours() {
    let server = S3Server::start(3).await.expect("server");
    let chains = Chains::new(store(&server));
    for seed in 0..20 {
        let owner = first_owner(DatabaseId::random());
        server.make(Trouble {
            lost_reply: 600,
            ..Trouble::default()
        });
        let outcome = chains.claim(&owner).await;
        server.make(Trouble::default());
        match outcome {
            Ok(Claim::Won) => {}
            Ok(Claim::AlreadyOurs(found)) => assert_eq!(found, owner),
            Ok(Claim::Lost(found)) => panic!("{seed}: lost against {found:?}"),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
                let again = chains.claim(&owner).await.expect("no trouble");
                assert!(matches!(again, Claim::Won | Claim::AlreadyOurs(_)), "{again:?}");
            }
        }
        assert_eq!(chains.current(owner.database).await.expect("read"), Some(owner));
    }
}

/// Claims again until the outcome is known.
async fn claim_at_last(chains: &Chains, owner: &Owner) -> Claim {
    for _ in 0..200 {
        match chains.claim(owner).await {
            Ok(claim) => return claim,
            Err(owner::Error::Gap { .. }) => panic!("the first epoch has no predecessor"),
            Err(error) => assert!(
                matches!(
                    error.kind(),
                    Kind::Unavailable | Kind::Corrupt | Kind::Denied | Kind::Unsupported
                ),
                "{error:?}"
            ),
        }
    }
    panic!("the outcome stays unknown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_all_trouble_one_claimant_wins_and_nobody_believes_otherwise() {
    for seed in 10..14 {
        let server = S3Server::start(seed).await.expect("server");
        let chains = Chains::new(store(&server));
        for _ in 0..3 {
            let database = DatabaseId::random();
            server.make(ALL_TROUBLE);
            let claimants: Vec<Owner> = (0..8).map(|_| first_owner(database)).collect();
            let claims = join_all(claimants.iter().map(|owner| claim_at_last(&chains, owner))).await;
            server.make(Trouble::default());
            let winner = chains.current(database).await.expect("read").expect("one won");
            for (claimant, claim) in claimants.iter().zip(claims) {
                match claim {
                    Claim::Won | Claim::AlreadyOurs(_) => assert_eq!(*claimant, winner, "seed {seed}"),
                    Claim::Lost(found) => assert_eq!(found, winner, "seed {seed}"),
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_all_trouble_a_base_answers_rightly_or_with_a_typed_error() {
    for seed in 20..23 {
        let server = S3Server::start(seed).await.expect("server");
        let store = store(&server);
        let database = DatabaseId::random();
        let mut made = Vec::new();
        let (mut right, mut failed) = (0, 0);
        server.make(ALL_TROUBLE);
        for version in 1..=12 {
            match materialize(&bases(&store), database, version, 10 + version as u32).await {
                Ok(checkpoint) => made.push(checkpoint),
                Err(error) => {
                    println!("seed {seed}, version {version}: {:?}", error.kind());
                    failed += 1;
                }
            }
        }
        for at in &made {
            let bases = bases(&store);
            for number in [1, 7, 10] {
                match bases.page(at, no(number)).await {
                    Ok(Some(page)) => {
                        assert!(
                            page.image == image(number, at.version.0),
                            "seed {seed}: wrong page {number} at {at:?}"
                        );
                        right += 1;
                    }
                    Ok(None) => panic!("seed {seed}: page {number} at {at:?} is missing without an error"),
                    Err(_) => failed += 1,
                }
            }
        }
        server.make(Trouble::default());
        println!(
            "seed {seed}: {} checkpoints, {right} reads right, {failed} errors",
            made.len()
        );
        assert!(!made.is_empty(), "seed {seed}: nothing worked");
        for at in &made {
            let bases = bases(&store);
            for number in 1..=10 + at.version.0 as u32 {
                let page = bases.page(at, no(number)).await.expect("quiet").expect("stored");
                assert!(
                    page.image == image(number, at.version.0),
                    "seed {seed}: wrong page {number} at {at:?}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_is_unavailable_and_wrong_keys_are_denied_until_the_file_changes() {
    let server = S3Server::start(4).await.expect("server");
    let directory = tempfile::tempdir().expect("directory");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("write");
    write("AWS_ACCESS_KEY_ID", KEY_ID);
    write("AWS_SECRET_ACCESS_KEY", "not the secret");
    let mut config = server.store_config();
    config.credentials = Credentials::Directory(directory.path().to_owned());
    let store = Store::open(&config).expect("open");
    let path = Path::from("names/x/1");
    let put = || store.put_if_absent(&path, Bytes::from_static(b"content"));
    assert_eq!(put().await.expect_err("wrong key").kind(), Kind::Denied);
    write("AWS_SECRET_ACCESS_KEY", SECRET);
    assert_eq!(put().await.expect("new key"), PutOutcome::Created);

    server.make(Trouble {
        throttled: 1000,
        ..Trouble::default()
    });
    assert_eq!(
        store.get(&path).await.expect_err("throttled").kind(),
        Kind::Unavailable
    );
    server.make(Trouble {
        lost_request: 1000,
        ..Trouble::default()
    });
    assert_eq!(
        store.get(&path).await.expect_err("away").kind(),
        Kind::Unavailable
    );
    let errors = store.metrics().count(Operation::Get, Area::Names).errors;
    assert_eq!(errors, 2);
}
