//! Up to which level entries may be proposed: raised by the group when all of its members can read what comes then.
//!
//! Each release reads levels N and N − 1, and each member says in the membership which is its newest. The leader raises the
//! group's level by an entry; until then a release can be taken back, afterwards the older one says what it lacks and
//! does not start.
//!
//! INVARIANT: an entry of a level is proposed only after every member has said that it reads it, and nobody becomes a
//! member afterwards who does not. Tests: `the_level_is_raised_when_all_members_read_it`, `a_release_that_is_too_old_is_refused`.

use super::{Error, Group};
use crate::entry::{Kind, SetFormatLevel};
use crate::raft::Place;

impl Group {
    /// The newest level that all members read.
    pub(crate) fn readable_format(&self) -> u32 {
        let metrics = self.metrics();
        let members = metrics.membership_config.membership().nodes();
        members.map(|(_, place)| place.format_level).min().unwrap_or(0)
    }

    /// As the leader: this node's own place in the membership says what it reads.
    pub(crate) async fn note_own_format(&self) -> Result<(), Error> {
        let _one = self.changing_members.lock().await;
        let metrics = self.metrics();
        match metrics.membership_config.membership().get_node(&self.node.0) {
            Some(place) if place.format_level != self.reads_format => {
                let place = Place {
                    format_level: self.reads_format,
                    ..place.clone()
                };
                self.set_place(self.node, place).await
            }
            _ => Ok(()),
        }
    }

    /// Waits until the members or their places are others than now.
    pub(crate) fn members_changed(&self) -> impl Future<Output = ()> + use<> {
        self.changed(|metrics| *metrics.membership_config.log_id())
    }

    /// Waits until the group writes what this release cannot read; why it must end then.
    pub(crate) async fn outgrown(&self) -> Error {
        let mut unreadable = self.catalog.unreadable_level.subscribe();
        // The catalog lives as long as the group, so that somebody may still say it.
        let level = unreadable
            .wait_for(|level| *level > 0)
            .await
            .map_or(0, |level| *level);
        Error::FormatLevel {
            level,
            reads: self.reads_format,
        }
    }

    /// As the leader: the level is this from now on. Never lower than it was; that it is so already is as good.
    pub(crate) async fn raise_format(&self, level: u32) -> Result<(), Error> {
        self.check_leads()?;
        // Nobody joins meanwhile.
        let _one = self.changing_members.lock().await;
        if level <= self.catalog.format_level() {
            return Ok(());
        }
        let readable = self.readable_format();
        if level > readable {
            let message = format!("a member reads format levels up to {readable} only");
            return Err(Error::Membership(message));
        }
        let set = SetFormatLevel { level };
        self.write(Kind::SetFormatLevel(set)).await.map(drop)
    }
}
