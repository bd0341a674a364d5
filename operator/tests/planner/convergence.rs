//! Anything happens in any order, the operator is killed in between, and nobody can be asked at times: no invariant is
//! broken on the way, and once it is quiet the wish is fulfilled.

use crate::world::{BROKEN, World, voters};
use orion_operator::names;
use orion_operator::plan::Action;
use proptest::prelude::*;
use serde_json::{Value, json};

#[derive(Clone, Debug)]
enum Event {
    Scale(u32),
    Readers(u32),
    Image(u8),
    KillPod(u8),
    LoseStatefulSet(u8),
    LoseMachine(u8),
    Blind(bool),
    /// The operator plans, and is killed after so many actions.
    Operator(usize),
    Everybody,
    ForgetNumber,
    Restart(u8),
    Grow,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => prop_oneof![Just(1), Just(3), Just(5)].prop_map(Event::Scale),
        1 => (0..3u32).prop_map(Event::Readers),
        2 => (0..3u8).prop_map(Event::Image),
        2 => any::<u8>().prop_map(Event::KillPod),
        1 => any::<u8>().prop_map(Event::LoseStatefulSet),
        1 => any::<u8>().prop_map(Event::LoseMachine),
        2 => any::<bool>().prop_map(Event::Blind),
        8 => (0..4usize).prop_map(Event::Operator),
        8 => Just(Event::Everybody),
        1 => Just(Event::ForgetNumber),
        1 => any::<u8>().prop_map(Event::Restart),
        1 => Just(Event::Grow),
    ]
}

struct Wish {
    voters: u32,
    readers: u32,
    size: &'static str,
}

impl Wish {
    fn sets(&self) -> Value {
        let mut a = voters("a", self.voters);
        a["storage"]["size"] = json!(self.size);
        let reader =
            json!({"name": "r", "role": "ReadReplica", "replicas": self.readers, "storage": {"size": "1Gi"}});
        json!([a, reader])
    }
}

fn happen(world: &mut World, wish: &mut Wish, event: &Event) {
    match event {
        Event::Scale(replicas) => {
            wish.voters = *replicas;
            world.change(wish.sets());
        }
        Event::Readers(replicas) => {
            wish.readers = *replicas;
            world.change(wish.sets());
        }
        Event::Grow => {
            wish.size = "2Gi";
            world.change(wish.sets());
        }
        Event::Image(number) => {
            let image = ["orion:1", "orion:2", BROKEN][usize::from(*number)];
            world.group.spec.image = Some(image.into());
        }
        Event::KillPod(which) => {
            let pods: Vec<_> = world.pods.keys().cloned().collect();
            if let Some(victim) = pods.get(usize::from(*which) % pods.len().max(1)) {
                world.pods.remove(victim);
                world.elect();
            }
        }
        Event::LoseStatefulSet(which) => {
            let sets: Vec<_> = world.sets.keys().cloned().collect();
            if let Some(victim) = sets.get(usize::from(*which) % sets.len().max(1)) {
                world.sets.remove(victim);
                world.pods.remove(victim);
                world.elect();
            }
        }
        Event::LoseMachine(which) => {
            let pods: Vec<_> = world.pods.keys().cloned().collect();
            let Some(victim) = pods.get(usize::from(*which) % pods.len().max(1)) else {
                return;
            };
            // One at a time, of a group that can do without it: more than that is for a person to mend.
            let others =
                |member: &&crate::world::Node| world.is_ready(&member.member) && member.member != *victim;
            let voters = world.raft.values().filter(|node| node.votes).count();
            let left = world
                .raft
                .values()
                .filter(|node| node.votes)
                .filter(others)
                .count();
            let is_whole = world.gone.iter().all(|gone| !world.sets.contains_key(gone));
            if is_whole && 2 * left > voters {
                let victim = victim.clone();
                world.lose_machine(&victim);
            }
        }
        Event::Blind(is_blind) => world.is_blind = *is_blind,
        Event::Operator(most) => drop(world.reconcile(*most)),
        Event::Everybody => world.step(),
        Event::ForgetNumber => {
            if let Some(status) = &mut world.group.status {
                status.next_member = None;
            }
        }
        Event::Restart(value) => world.annotate(names::RESTART, &value.to_string()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_it_converges(events in prop::collection::vec(event(), 1..60)) {
        let mut wish = Wish { voters: 3, readers: 0, size: "1Gi" };
        let mut world = World::new(wish.sets());
        for event in &events {
            happen(&mut world, &mut wish, event);
        }
        world.is_blind = false;
        if world.group.spec.image.as_deref() == Some(BROKEN) {
            world.group.spec.image = Some("orion:1".into());
        }
        world.settle(250);
        prop_assert!(world.plan().actions.is_empty());
        world.told.clear();
        for _ in 0..5 {
            world.reconcile(usize::MAX);
        }
        prop_assert!(world.told.is_empty(), "told although nothing happened: {:?}", world.told);
        let deletes_a_disk = |action: &Action| matches!(action, Action::DeleteClaim { .. });
        prop_assert!(!world.done.iter().any(deletes_a_disk), "nobody said Delete");
    }
}
