//! Connections that can be cut at any moment: by a fault that loses a response, and all of them on shutdown.
//!
//! Without this, a simulator that was stopped would still respond on a client's kept-alive connections.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Accepts connections, all of which are cut with `stop`.
pub(crate) struct Connections {
    pub listener: TcpListener,
    pub stop: CancellationToken,
}

/// A connection; reading and writing fail once it is cut.
pub(crate) struct Connection {
    stream: TcpStream,
    cut: CancellationToken,
    /// Wakes the task that waits for bytes when the connection is cut.
    was_cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// Cuts the connection a request came on.
#[derive(Clone)]
pub(crate) struct Cut(pub CancellationToken);

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            // A connection that was given up before it was accepted is no reason to stop; the next may be good.
            if let Ok((stream, address)) = self.listener.accept().await {
                let cut = self.stop.child_token();
                let was_cut = Box::pin(cut.clone().cancelled_owned());
                return (Connection { stream, cut, was_cut }, address);
            }
            tokio::task::yield_now().await;
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Connections>> for Cut {
    fn connect_info(stream: IncomingStream<'_, Connections>) -> Self {
        Self(stream.io().cut.clone())
    }
}

impl Connection {
    fn alive(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.cut.is_cancelled() || self.was_cut.as_mut().poll(context).is_ready() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.alive(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.alive(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
