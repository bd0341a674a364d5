//! Reads one HTTP/1.1 reply from a connection, as cheaply as is safe: the client shares the machine with the
//! server it measures. It is not an HTTP library: it knows what a JSON API answers (a length or chunks, no
//! trailers worth reading, no upgrade), and refuses everything else with an error instead of guessing.

use std::io;

use memchr::memmem::find;
use tokio::io::{AsyncRead, AsyncReadExt};

/// A head longer than this is not from a server that we measure.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What was answered, apart from the body, which [`Reader::body`] holds until the next read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// The status code.
    pub(crate) code: u16,
    /// Whether the connection may be used again.
    pub(crate) keep_alive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

#[derive(Debug)]
struct ReplyHead {
    status: Status,
    framing: Framing,
    /// Where the body begins in the buffer.
    bytes: usize,
}

/// A connection's receive buffer. Bytes past the current reply are kept for the next one.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    buffer: Vec<u8>,
    filled: usize,
    /// First byte that belongs to the reply that is read next.
    start: usize,
    body: std::ops::Range<usize>,
    chunks: Vec<u8>,
    is_chunked: bool,
}

impl Reader {
    /// The body of the reply that was read last.
    pub(crate) fn body(&self) -> &[u8] {
        if self.is_chunked {
            &self.chunks
        } else {
            &self.buffer[self.body.clone()]
        }
    }

    /// Reads the next reply whole.
    pub(crate) async fn read(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<Status> {
        self.buffer.copy_within(self.start..self.filled, 0);
        self.filled -= self.start;
        self.start = 0;
        let head = loop {
            let head = self.read_head(from).await?;
            if head.status.code >= 200 {
                break head;
            }
            self.start = head.bytes; // 1xx: an interim reply
        };
        self.is_chunked = head.framing == Framing::Chunked;
        match head.framing {
            Framing::Length(length) => {
                self.fill_to(from, head.bytes + length).await?;
                self.start = head.bytes + length;
                self.body = head.bytes..self.start;
            }
            Framing::Chunked => self.read_chunks(from, head.bytes).await?,
            Framing::UntilClose => {
                while self.fill(from).await? > 0 {}
                self.start = self.filled;
                self.body = head.bytes..self.filled;
            }
        }
        Ok(head.status)
    }

    async fn read_head(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<ReplyHead> {
        let mut searched = self.start;
        loop {
            if let Some(end) = find(&self.buffer[searched..self.filled], b"\r\n\r\n") {
                let end = searched + end;
                let text = &self.buffer[self.start..end];
                return parse_head(text, end + 4);
            }
            searched = self.filled.saturating_sub(3).max(self.start);
            if self.filled - self.start > HEAD_BYTES_MAX {
                return Err(malformed("the reply's head does not end"));
            }
            self.fill_some(from).await?;
        }
    }

    async fn read_chunks(&mut self, from: &mut (impl AsyncRead + Unpin), mut at: usize) -> io::Result<()> {
        self.chunks.clear();
        loop {
            let line_end = self.find_line_end(from, at).await?;
            let size = parse_chunk_size(&self.buffer[at..line_end])?;
            at = line_end + 2;
            if size == 0 {
                break;
            }
            self.fill_to(from, at + size + 2).await?;
            self.chunks.extend_from_slice(&self.buffer[at..at + size]);
            at += size + 2;
        }
        loop {
            let line_end = self.find_line_end(from, at).await?; // trailers, then an empty line
            let is_last = line_end == at;
            at = line_end + 2;
            if is_last {
                self.start = at;
                return Ok(());
            }
        }
    }

    async fn find_line_end(&mut self, from: &mut (impl AsyncRead + Unpin), at: usize) -> io::Result<usize> {
        loop {
            if let Some(end) = find(&self.buffer[at..self.filled], b"\r\n") {
                return Ok(at + end);
            }
            if self.filled - at > HEAD_BYTES_MAX {
                return Err(malformed("a chunk's head does not end"));
            }
            self.fill_some(from).await?;
        }
    }

    async fn fill_to(&mut self, from: &mut (impl AsyncRead + Unpin), end: usize) -> io::Result<()> {
        while self.filled < end {
            self.fill_some(from).await?;
        }
        Ok(())
    }

    async fn fill_some(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        match self.fill(from).await? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the connection ended within a reply",
            )),
            _ => Ok(()),
        }
    }

    async fn fill(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        if self.buffer.len() - self.filled < 1024 {
            let grown = (self.buffer.len() * 2).max(8 * 1024);
            self.buffer.resize(grown, 0);
        }
        let read = from.read(&mut self.buffer[self.filled..]).await?;
        self.filled += read;
        Ok(read)
    }
}

fn parse_head(text: &[u8], bytes: usize) -> io::Result<ReplyHead> {
    let mut lines = text
        .split(|&byte| byte == b'\n')
        .map(|line| line.trim_ascii_end());
    let first = lines.next().unwrap_or_default();
    let is_http11 = first.starts_with(b"HTTP/1.1 ");
    if !is_http11 && !first.starts_with(b"HTTP/1.0 ") {
        return Err(malformed("the reply does not begin with HTTP/1.x"));
    }
    let code = first
        .get(9..12)
        .and_then(parse_decimal)
        .ok_or_else(|| malformed("no status code"))?;
    let mut status = Status {
        code: code as u16,
        keep_alive: is_http11,
    };
    let mut framing = Framing::UntilClose;
    if matches!(code, 100..=199 | 204 | 304) {
        framing = Framing::Length(0);
    }
    for line in lines {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = parse_decimal(value).ok_or_else(|| malformed("content-length is no number"))?;
            if framing == Framing::UntilClose {
                framing = Framing::Length(length);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") && value.eq_ignore_ascii_case(b"chunked") {
            framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case(b"connection") {
            status.keep_alive = match value {
                _ if value.eq_ignore_ascii_case(b"close") => false,
                _ if value.eq_ignore_ascii_case(b"keep-alive") => true,
                _ => status.keep_alive,
            };
        }
    }
    status.keep_alive &= framing != Framing::UntilClose;
    Ok(ReplyHead {
        status,
        framing,
        bytes,
    })
}

fn parse_decimal(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn parse_chunk_size(line: &[u8]) -> io::Result<usize> {
    let digits = line
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    let text = std::str::from_utf8(digits).map_err(|_| malformed("a chunk's size is no number"))?;
    usize::from_str_radix(text, 16).map_err(|_| malformed("a chunk's size is no number"))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that delivers its bytes in pieces of at most `piece` bytes.
    struct Pieces {
        bytes: Vec<u8>,
        at: usize,
        piece: usize,
    }

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            into: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            let end = (self.at + self.piece.min(into.remaining())).min(self.bytes.len());
            into.put_slice(&self.bytes[self.at..end]);
            self.at = end;
            std::task::Poll::Ready(Ok(()))
        }
    }

    async fn read_all(text: &str, piece: usize, count: usize) -> Vec<(u16, bool, String)> {
        let mut pieces = Pieces {
            bytes: text.as_bytes().to_vec(),
            at: 0,
            piece,
        };
        let mut reader = Reader::default();
        let mut replies = Vec::new();
        for _ in 0..count {
            let status = reader.read(&mut pieces).await.expect("well formed");
            let body = String::from_utf8(reader.body().to_vec()).expect("ASCII");
            replies.push((status.code, status.keep_alive, body));
        }
        replies
    }

    #[tokio::test]
    async fn every_split_of_every_framing_reads_the_same() {
        let text = "HTTP/1.1 100 Continue\r\n\r\n\
                    HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
                    HTTP/1.1 503 Busy\r\ncontent-length: 2\r\nConnection: close\r\n\r\n{}\
                    HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nt: v\r\n\r\n\
                    HTTP/1.1 204 No Content\r\n\r\n\
                    HTTP/1.0 200 OK\r\n\r\nto the end";
        let expected = vec![
            (200, true, "hello".to_owned()),
            (503, false, "{}".to_owned()),
            (200, true, "abc0123456789".to_owned()),
            (204, true, String::new()),
            (200, false, "to the end".to_owned()),
        ];
        for piece in 1..80 {
            assert_eq!(read_all(text, piece, 5).await, expected, "pieces of {piece}");
        }
    }

    #[tokio::test]
    async fn a_truncated_or_foreign_reply_is_an_error() {
        for text in [
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell",
            "HTTP/1.1 20",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        ] {
            let mut pieces = Pieces {
                bytes: text.as_bytes().to_vec(),
                at: 0,
                piece: 7,
            };
            assert!(Reader::default().read(&mut pieces).await.is_err(), "{text:?}");
        }
    }
}
