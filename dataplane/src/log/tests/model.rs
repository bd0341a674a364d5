//! Random operations against a model, reopened at random.

use super::super::{Disk, GroupLog, Options};
use super::{append, content, entry, read};
use crate::raft::{Entry, LogId, Vote};
use openraft::RaftLogReader;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

const GROUPS: usize = 3;

/// What one group's log should hold.
#[derive(Clone, Debug, Default)]
struct Model {
    entries: BTreeMap<u64, Entry>,
    next: u64,
    term: u64,
    vote: Option<Vote>,
    committed: Option<LogId>,
    /// What went to the disk with something else.
    committed_saved: Option<LogId>,
    purged: Option<LogId>,
}

struct Run {
    random: StdRng,
    models: Vec<Model>,
    logs: Vec<GroupLog>,
}

impl Run {
    async fn step(&mut self) {
        let group = self.random.random_range(0..GROUPS);
        let (model, log) = (&mut self.models[group], &mut self.logs[group]);
        let random = &mut self.random;
        match random.random_range(0..100) {
            0..60 => {
                let many = random.random_range(1..6);
                let new: Vec<Entry> = (model.next..model.next + many)
                    .map(|index| entry(model.term, index, random.random_range(0..2000)))
                    .collect();
                model.next += many;
                model
                    .entries
                    .extend(new.iter().map(|entry| (entry.index(), entry.clone())));
                model.committed_saved = model.committed;
                // One of them is written where it is appended, if the flusher is at rest.
                let proposals = random.random_range(0..3);
                log.proposals()
                    .store(proposals, std::sync::atomic::Ordering::Relaxed);
                if random.random_bool(0.5) {
                    append(log, new).await.expect("durable");
                } else {
                    log.append(new, IOFlushed::noop()).await.expect("queued");
                }
            }
            60..70 => {
                let keep = model.committed.map_or(0, |id| id.index + 1);
                let keep = keep.max(model.purged.map_or(0, |id| id.index + 1));
                if keep == 0 || keep >= model.next {
                    return;
                }
                let from = random.random_range(keep..model.next);
                let last = model.entries.get(&(from - 1)).map(RaftEntry::log_id);
                let last = last.or(model.purged).expect("an entry before it");
                log.truncate_after(Some(last)).await.expect("durable");
                model.entries.split_off(&from);
                model.next = from;
                model.term += 1;
            }
            70..80 => {
                let Some(committed) = model.committed else { return };
                let Some((first, _)) = model.entries.first_key_value() else {
                    return;
                };
                if *first > committed.index {
                    return;
                }
                let upto = random.random_range(*first..=committed.index);
                let id = model.entries[&upto].log_id();
                log.purge(id).await.expect("durable");
                model.entries = model.entries.split_off(&(upto + 1));
                model.purged = Some(id);
                model.committed_saved = model.committed;
            }
            80..90 => {
                let vote = Vote::new(model.term, random.random_range(1..9));
                log.save_vote(&vote).await.expect("durable");
                model.vote = Some(vote);
                model.committed_saved = model.committed;
            }
            _ => {
                let floor = model.committed.map_or(0, |id| id.index);
                let newer = model.entries.range(floor..).nth(random.random_range(0..8));
                if let Some((_, entry)) = newer {
                    let id = entry.log_id();
                    log.save_committed(Some(id)).await.expect("noted");
                    model.committed = Some(id);
                }
            }
        }
    }

    async fn check(&mut self) {
        for (model, log) in self.models.iter().zip(&mut self.logs) {
            let all: Vec<Entry> = model.entries.values().cloned().collect();
            assert_eq!(read(log, 0..u64::MAX).await, content(&all));
            if let Some((first, _)) = model.entries.first_key_value() {
                let from = self.random.random_range(*first..model.next);
                let to = self.random.random_range(from..=model.next + 3);
                let part: Vec<Entry> = model.entries.range(from..to).map(|(_, e)| e.clone()).collect();
                assert_eq!(read(log, from..to).await, content(&part));
            }
            let state = log.get_log_state().await.expect("a state");
            let last = model.entries.values().next_back().map(RaftEntry::log_id);
            assert_eq!(state.last_log_id, last.or(model.purged));
            assert_eq!(state.last_purged_log_id, model.purged);
            assert_eq!(log.read_vote().await.expect("a vote"), model.vote);
            assert_eq!(log.read_committed().await.expect("committed"), model.committed);
        }
    }

    fn reopen(&mut self, dir: &Path, disk: &mut Option<Disk>) {
        self.logs.clear();
        *disk = None;
        let options = Options {
            segment_bytes: 32 << 10,
            tail_bytes_max: self.random.random_range(0..20_000),
        };
        let opened = Disk::open(dir, options).expect("it opens");
        self.logs = (0..GROUPS).map(|i| opened.group(&format!("group-{i}"))).collect();
        for model in &mut self.models {
            model.committed = model.committed_saved;
        }
        *disk = Some(opened);
    }
}

#[tokio::test]
async fn any_sequence_of_operations_and_restarts_reads_as_the_model_says() {
    let mut random = StdRng::seed_from_u64(crate::seed::seed());
    let deadline = Instant::now() + Duration::from_secs(8);
    while Instant::now() < deadline {
        let dir = tempfile::tempdir().expect("a folder");
        let mut run = Run {
            random: StdRng::seed_from_u64(random.random()),
            models: vec![
                Model {
                    term: 1,
                    ..Model::default()
                };
                GROUPS
            ],
            logs: Vec::new(),
        };
        let mut disk = None;
        run.reopen(dir.path(), &mut disk);
        for step in 0..400 {
            run.step().await;
            if step % 23 == 0 {
                run.check().await;
            }
            if run.random.random_bool(0.02) {
                run.reopen(dir.path(), &mut disk);
                run.check().await;
            }
        }
    }
}
