//! The difference between two images of one page, as absolute byte ranges.
//!
//! Format: a sequence of ranges, each `skip` (varint, bytes equal since the end of the range before),
//! `length` (varint, at least 1) and `length` bytes of the new image. Varints are LEB128. Everything that no
//! range covers is as it was. The result has the length of the base.
//!
//! LIMIT: two ranges closer than [`GAP_MIN`] are merged, because a range costs two bytes or more.

/// Equal bytes between two differences below which one longer range is the shorter encoding.
const GAP_MIN: usize = 4;

/// Bytes compared at once while looking for the next difference.
const STRIDE: usize = 16;

/// An encoded difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta<'a>(pub &'a [u8]);

/// A difference that cannot be applied: it was damaged, or belongs to another page size.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("page difference is malformed at byte {at}")]
pub struct DeltaError {
    /// Offset in the encoding at which it stopped making sense.
    pub at: usize,
}

impl Delta<'_> {
    /// The difference from `base` to `target`, or `None` where it would not be shorter than `limit`.
    pub fn between(base: &[u8], target: &[u8], limit: usize) -> Option<Vec<u8>> {
        if base.len() != target.len() {
            return None;
        }
        let mut encoded = Vec::with_capacity(64);
        let mut covered = 0;
        let mut at = 0;
        while let Some(start) = next_difference(base, target, at) {
            let end = end_of_range(base, target, start);
            put_varint(&mut encoded, start - covered);
            put_varint(&mut encoded, end - start);
            encoded.extend_from_slice(&target[start..end]);
            if encoded.len() >= limit {
                return None;
            }
            covered = end;
            at = end;
        }
        Some(encoded)
    }

    /// Writes the ranges over `image`, which holds the base and afterwards the target.
    pub fn apply(self, image: &mut [u8]) -> Result<(), DeltaError> {
        let mut at = 0;
        let mut covered = 0usize;
        while at < self.0.len() {
            let error = DeltaError { at };
            let skip = take_varint(self.0, &mut at).ok_or(DeltaError { at })?;
            let length = take_varint(self.0, &mut at).ok_or(DeltaError { at })?;
            let start = covered.checked_add(skip).ok_or(DeltaError { at })?;
            let end = start.checked_add(length).ok_or(DeltaError { at })?;
            let bytes = self
                .0
                .get(at..at.saturating_add(length))
                .ok_or(DeltaError { at })?;
            image.get_mut(start..end).ok_or(error)?.copy_from_slice(bytes);
            at += length;
            covered = end;
        }
        Ok(())
    }
}

fn next_difference(base: &[u8], target: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while at + STRIDE <= base.len() && base[at..at + STRIDE] == target[at..at + STRIDE] {
        at += STRIDE;
    }
    (at..base.len()).find(|&i| base[i] != target[i])
}

fn end_of_range(base: &[u8], target: &[u8], start: usize) -> usize {
    let mut end = start + 1;
    let mut at = end;
    while at < base.len() && at - end < GAP_MIN {
        if base[at] != target[at] {
            end = at + 1;
        }
        at += 1;
    }
    end
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn edited() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let edits = prop::collection::vec((0usize..1024, any::<u8>(), 1usize..40), 0..20);
        (prop::collection::vec(any::<u8>(), 1024), edits).prop_map(|(base, edits)| {
            let mut target = base.clone();
            for (start, byte, length) in edits {
                let end = (start + length).min(target.len());
                target[start..end].fill(byte);
            }
            (base, target)
        })
    }

    proptest! {
        #[test]
        fn applying_the_difference_gives_the_target((base, target) in edited()) {
            let encoded = Delta::between(&base, &target, usize::MAX).expect("no limit");
            let mut image = base;
            Delta(&encoded).apply(&mut image).expect("own encoding");
            prop_assert_eq!(image, target);
        }

        #[test]
        fn damaged_differences_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0usize..600,
        ) {
            let mut image = vec![0; length];
            let _ = Delta(&bytes).apply(&mut image);
        }
    }

    #[test]
    fn a_difference_as_long_as_the_limit_is_refused() {
        assert_eq!(Delta::between(&[0; 512], &[1; 512], 512), None);
    }

    #[test]
    fn one_changed_byte_costs_a_few_bytes() {
        let mut target = vec![0; 4096];
        target[3000] = 7;
        let encoded = Delta::between(&[0; 4096], &target, 4096).expect("short");
        assert!(encoded.len() <= 4, "{encoded:?}");
    }
}
