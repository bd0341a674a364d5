//! Laws of the chains.

use super::*;
use crate::page::Chain;
use crate::store::Store;
use futures::future::join_all;
use orion_api::{DatabaseName, Version};
use uuid::Uuid;

fn owner(database: DatabaseId, epoch: u64, cause: Cause) -> Owner {
    Owner {
        database,
        epoch: Epoch(epoch),
        group: "main".parse().expect("a name"),
        incarnation: Incarnation(1),
        start_version: Version(epoch * 10),
        checkpoint: None,
        chain: Chain::START.next(b"x"),
        cause,
        operation: Uuid::new_v4(),
    }
}

fn name(name: &str) -> DatabaseName {
    name.parse().expect("a name")
}

#[tokio::test]
async fn the_highest_epoch_is_the_owner_and_comes_back_as_written() {
    let chains = Chains::new(Store::memory());
    let database = DatabaseId::random();
    assert_eq!(chains.current(database).await.expect("read"), None);
    let first = owner(database, 1, Cause::Created);
    let second = owner(database, 2, Cause::Moved);
    assert_eq!(chains.claim(&first).await.expect("claim"), Claim::Won);
    assert_eq!(chains.current(database).await.expect("read"), Some(first));
    assert_eq!(chains.newer(database, Epoch(1)).await.expect("read"), None);
    assert_eq!(chains.claim(&second).await.expect("claim"), Claim::Won);
    assert_eq!(
        chains.current(database).await.expect("read"),
        Some(second.clone())
    );
    assert_eq!(
        chains.newer(database, Epoch(1)).await.expect("read"),
        Some(second)
    );
}

#[tokio::test]
async fn of_many_claimants_of_one_epoch_exactly_one_wins_and_all_learn_who() {
    let chains = Chains::new(Store::memory());
    let database = DatabaseId::random();
    let claimants: Vec<Owner> = (0..64).map(|_| owner(database, 1, Cause::Created)).collect();
    let claims = join_all(claimants.iter().map(|next| chains.claim(next))).await;
    let winner = chains.current(database).await.expect("read").expect("one won");
    for (claimant, claim) in claimants.iter().zip(claims) {
        match claim.expect("claim") {
            Claim::Won => assert_eq!(*claimant, winner),
            Claim::Lost(found) => assert_eq!(found, winner),
            Claim::AlreadyOurs(_) => panic!("operations differ"),
        }
    }
}

#[tokio::test]
async fn a_repeated_claim_succeeds_and_tells_what_it_had_written() {
    let chains = Chains::new(Store::memory());
    let first = owner(DatabaseId::random(), 1, Cause::Created);
    assert_eq!(chains.claim(&first).await.expect("claim"), Claim::Won);
    assert_eq!(
        chains.claim(&first).await.expect("claim"),
        Claim::AlreadyOurs(first.clone())
    );
    let other_details = Owner {
        start_version: Version(99),
        ..first.clone()
    };
    assert_eq!(
        chains.claim(&other_details).await.expect("claim"),
        Claim::AlreadyOurs(first)
    );
}

#[tokio::test]
async fn no_epoch_follows_a_tombstone_or_a_gap() {
    let chains = Chains::new(Store::memory());
    let database = DatabaseId::random();
    let gap = chains.claim(&owner(database, 2, Cause::Moved)).await;
    assert!(matches!(gap, Err(Error::Gap { .. })), "{gap:?}");
    let zero = chains.claim(&owner(database, 0, Cause::Created)).await;
    assert!(matches!(zero, Err(Error::Gap { .. })), "{zero:?}");
    let tombstone = owner(database, 2, Cause::Dropped);
    chains
        .claim(&owner(database, 1, Cause::Created))
        .await
        .expect("claim");
    chains.claim(&tombstone).await.expect("claim");
    let after = chains
        .claim(&owner(database, 3, Cause::Moved))
        .await
        .expect("claim");
    assert_eq!(after, Claim::Lost(tombstone));
}

#[tokio::test]
async fn a_name_means_one_database_at_a_time() {
    let chains = Chains::new(Store::memory());
    let (name, first, second) = (name("shop"), DatabaseId::random(), DatabaseId::random());
    let (create, drop) = (Uuid::new_v4(), Uuid::new_v4());
    let claim = |database, operation| chains.claim_name(&name, database, operation);
    assert_eq!(claim(first, create).await.expect("claim"), NameClaim::Won);
    assert_eq!(claim(first, create).await.expect("again"), NameClaim::Won);
    assert_eq!(
        claim(second, Uuid::new_v4()).await.expect("claim"),
        NameClaim::Taken(first)
    );
    let kept = chains.release_name(&name, second, drop).await.expect("release");
    assert_eq!(kept, NameRelease::NotHeld(first));
    for _ in 0..2 {
        let released = chains.release_name(&name, first, drop).await.expect("release");
        assert_eq!(released, NameRelease::Released);
        assert_eq!(chains.resolve(&name).await.expect("resolve"), None);
    }
    assert_eq!(
        claim(first, create).await.expect("late repetition"),
        NameClaim::Over
    );
    assert_eq!(
        claim(second, Uuid::new_v4()).await.expect("claim"),
        NameClaim::Won
    );
    assert_eq!(chains.resolve(&name).await.expect("resolve"), Some(second));
}

#[tokio::test]
async fn of_many_claimants_of_one_name_exactly_one_wins_also_after_a_release() {
    let chains = Chains::new(Store::memory());
    let name = name("shop");
    for _ in 0..3 {
        let ids: Vec<DatabaseId> = (0..32).map(|_| DatabaseId::random()).collect();
        let claims = ids.iter().map(|id| chains.claim_name(&name, *id, Uuid::new_v4()));
        let claims = join_all(claims).await;
        let winner = chains.resolve(&name).await.expect("resolve").expect("one won");
        for (id, claim) in ids.iter().zip(claims) {
            let expected = if *id == winner {
                NameClaim::Won
            } else {
                NameClaim::Taken(winner)
            };
            assert_eq!(claim.expect("claim"), expected);
        }
        chains
            .release_name(&name, winner, Uuid::new_v4())
            .await
            .expect("release");
    }
}

#[tokio::test]
async fn creating_takes_two_requests_and_a_taken_name_decides() {
    let store = Store::memory();
    let chains = Chains::new(store.clone());
    let name = name("shop");
    let first = owner(DatabaseId::random(), 1, Cause::Created);
    let created = chains.create(&name, &first).await.expect("create");
    let won = Created {
        name: NameClaim::Won,
        owner: Claim::Won,
    };
    assert_eq!((created, store.metrics().requests()), (won, 2));
    let second = owner(DatabaseId::random(), 1, Cause::Created);
    let refused = chains.create(&name, &second).await.expect("create");
    assert_eq!(refused.name, NameClaim::Taken(first.database));
}

#[tokio::test]
async fn any_flipped_bit_in_an_entry_is_found() {
    let path = Path::from("db/x/owner/1");
    let first = owner(DatabaseId::random(), 1, Cause::Created);
    let text = record::encode(&path, &first);
    assert_eq!(record::decode::<Owner>(&path, &text).expect("intact"), first);
    for bit in 0..text.len() * 8 {
        let mut damaged = text.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // A bit may turn a digit of the checksum into upper or a space: what then passes must be what was written.
        if let Ok(found) = record::decode::<Owner>(&path, &damaged) {
            assert_eq!(found, first, "bit {bit}");
        }
    }
    assert!(record::decode::<Owner>(&Path::from("db/x/owner/2"), &text).is_err());
}
