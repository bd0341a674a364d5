//! Between hyper and the socket: notices what moves.
//!
//! hyper flushes the socket when it has nothing more to write, and only then: that is how the end of a reply is
//! seen.

use super::slot::Slot;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A reply that is copied together before it is written: that costs less than the system's longer way of several pieces.
const SMALL_BYTES: usize = 2048;

/// All slices one after the other in `small`, if there is room.
fn gather<'a>(slices: &[IoSlice<'_>], small: &'a mut [u8; SMALL_BYTES]) -> Option<&'a [u8]> {
    let mut bytes = 0;
    for slice in slices {
        small.get_mut(bytes..bytes + slice.len())?.copy_from_slice(slice);
        bytes += slice.len();
    }
    Some(&small[..bytes])
}

/// A socket whose bytes are counted.
pub(super) struct Stream<Io> {
    io: Io,
    slot: Arc<Slot>,
}

impl<Io> Stream<Io> {
    pub(super) fn new(io: Io, slot: Arc<Slot>) -> Stream<Io> {
        Stream { io, slot }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Stream<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        self.slot.read(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> Stream<Io> {
    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.slot.wrote(bytes);
        }
        written
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Stream<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut small = [0; SMALL_BYTES];
        let written = match gather(slices, &mut small) {
            Some(bytes) => Pin::new(&mut self.io).poll_write(context, bytes),
            None => Pin::new(&mut self.io).poll_write_vectored(context, slices),
        };
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(context))?;
        self.slot.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_written_together_and_large_ones_are_not() {
        let mut small = [0; SMALL_BYTES];
        let (head, body) = ([1; 100], [2; SMALL_BYTES - 100]);
        let together = gather(&[IoSlice::new(&head), IoSlice::new(&body)], &mut small);
        assert_eq!(together, Some(&[&head[..], &body[..]].concat()[..]));
        let more = [3];
        let slices = [IoSlice::new(&head), IoSlice::new(&body), IoSlice::new(&more)];
        assert_eq!(gather(&slices, &mut small), None);
        assert_eq!(gather(&[], &mut small), Some(&[][..]));
    }
}
