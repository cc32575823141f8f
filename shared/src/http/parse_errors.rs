//! JSON bodies for hyper's own error responses.
//!
//! hyper responds to request headers that it can't parse (400), that are too long or too many (414, 431) before any service
//! sees them, and always with an empty body. It has no hook for that, so this wraps the connection and replaces the response
//! when it is written.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::access::REQUEST_ID;

/// Limit of draining a rejected request, in bytes: closing a socket with unread bytes resets the connection, and the client
/// may lose the response.
const DRAIN_BYTES_MAX: usize = 64 * 1024;

/// Timeout of draining a rejected request.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection whose parse errors are answered in JSON.
#[derive(Debug)]
pub(super) struct JsonParseErrors {
    stream: TcpStream,
    rejection: Option<Rejection>,
}

/// The JSON response in progress, and the draining of its request.
#[derive(Debug)]
struct Rejection {
    unsent: Bytes,
    drained_bytes: usize,
    deadline: Pin<Box<Sleep>>,
}

impl JsonParseErrors {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, rejection: None }
    }

    /// Sends the JSON response in place of `length` bytes of hyper's.
    fn poll_reject(&mut self, context: &mut Context<'_>, length: usize) -> Poll<io::Result<usize>> {
        let Some(rejection) = &mut self.rejection else { return Poll::Ready(Ok(length)) };
        while rejection.unsent.has_remaining() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, &rejection.unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            rejection.unsent.advance(sent);
        }
        Poll::Ready(Ok(length))
    }

    fn is_rejecting(&mut self, written: &[u8]) -> bool {
        if self.rejection.is_none()
            && let Some(response) = json_for(written)
        {
            let deadline = Box::pin(sleep(DRAIN_TIMEOUT));
            self.rejection = Some(Rejection { unsent: response, drained_bytes: 0, deadline });
        }
        self.rejection.is_some()
    }
}

/// The JSON response for one of hyper's own, which have no request id.
fn json_for(written: &[u8]) -> Option<Bytes> {
    let status = written.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let (reason, detail) = match status {
        b"400" => ("400 Bad Request", "Bad request."),
        b"414" => ("414 URI Too Long", "The address is too long."),
        b"431" => ("431 Request Header Fields Too Large", "The request's headers are too large, or too many."),
        _ => return None,
    };
    let id = REQUEST_ID;
    let id = id.as_str().as_bytes();
    if !written.ends_with(b"\r\n\r\n") || written.windows(id.len()).any(|name| name == id) {
        return None;
    }
    let body = format!("{{\"detail\":\"{detail}\"}}");
    let length = body.len();
    Some(Bytes::from(format!(
        "HTTP/1.1 {reason}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\ncache-control: no-store\r\n\
         x-content-type-options: nosniff\r\nconnection: close\r\n\r\n{body}"
    )))
}

impl AsyncRead for JsonParseErrors {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for JsonParseErrors {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_rejecting(bytes) {
            return self.poll_reject(context, bytes.len());
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // hyper writes the response's headers in one piece.
        if slices.first().is_some_and(|head| self.is_rejecting(head)) {
            return self.poll_reject(context, slices.iter().map(|slice| slice.len()).sum());
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, rejection } = &mut *self;
        ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
        let Some(Rejection { drained_bytes, deadline, .. }) = rejection else { return Poll::Ready(Ok(())) };
        let mut bytes = [0; 4096];
        while *drained_bytes < DRAIN_BYTES_MAX && deadline.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => *drained_bytes += buffer.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_responses_of_hyper_itself_are_replaced() {
        let own = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n";
        let json = json_for(own).unwrap();
        assert!(json.starts_with(b"HTTP/1.1 431 ") && json.ends_with(b"}"), "{json:?}");
        for other in [
            &b"HTTP/1.1 431 x\r\nx-request-id: a\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-le",
            b"{}",
            b"",
        ] {
            assert_eq!(json_for(other), None);
        }
    }
}
