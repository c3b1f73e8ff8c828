//! HTTP/2 frame by frame: a client that does only what a test says, and a proxy that withholds frames.

use std::net::SocketAddr;

use tokio::{
    io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
/// Of SETTINGS and PING.
pub(crate) const ACK: u8 = 1;
/// Of DATA and HEADERS.
pub(crate) const END_STREAM: u8 = 1;
/// Of HEADERS.
pub(crate) const END_HEADERS: u8 = 4;

#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        Self { kind, flags, stream, payload: payload.to_vec() }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        let head = [length[1], length[2], length[3], self.kind, self.flags];
        [&head[..], &self.stream.to_be_bytes(), &self.payload].concat()
    }

    /// The next frame; none at the end of the connection.
    pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> Option<Self> {
        let mut head = [0; 9];
        from.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        from.read_exact(&mut payload).await.ok()?;
        Some(Self { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// The headers of a call, each written out.
    pub(crate) fn headers(stream: u32, flags: u8, headers: &[(&str, &str)]) -> Self {
        let mut block = Vec::new();
        for (name, value) in headers {
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap());
                block.extend(text.as_bytes());
            }
        }
        Self { kind: HEADERS, flags, stream, payload: block }
    }

    /// Headers and body of a call to a method with an empty message.
    pub(crate) fn call(stream: u32, path: &str) -> [Self; 2] {
        let headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ];
        [Self::headers(stream, END_HEADERS, &headers), Self::new(DATA, END_STREAM, stream, &[0; 5])]
    }
}

/// A connection on which nothing is sent but what the test sends.
pub(crate) struct Wire(pub(crate) TcpStream);

impl Wire {
    pub(crate) async fn connect(endpoint: &str) -> Self {
        Self(TcpStream::connect(address(endpoint)).await.unwrap())
    }

    /// A connection that has begun to speak HTTP/2.
    pub(crate) async fn open(endpoint: &str) -> Self {
        let mut wire = Self::connect(endpoint).await;
        wire.0.write_all(PREFACE).await.unwrap();
        wire.send(&[Frame::new(SETTINGS, 0, 0, &[])]).await;
        wire
    }

    pub(crate) async fn send(&mut self, frames: &[Frame]) {
        let bytes: Vec<_> = frames.iter().flat_map(Frame::bytes).collect();
        self.0.write_all(&bytes).await.unwrap();
    }

    /// The first frame that comes of this kind.
    pub(crate) async fn until(&mut self, kind: u8) -> Frame {
        loop {
            let frame =
                Frame::read(&mut self.0).await.unwrap_or_else(|| panic!("closed before a frame of kind {kind}"));
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Reads until the server closes the connection.
    pub(crate) async fn closed(&mut self) {
        while self.0.read(&mut [0; 4_096]).await.is_ok_and(|read| read > 0) {}
    }
}

pub(crate) fn address(endpoint: &str) -> SocketAddr {
    endpoint.strip_prefix("http://").unwrap().parse().unwrap()
}

/// A proxy in front of a server that passes on only frames that are kept.
pub(crate) struct Filter {
    pub(crate) endpoint: String,
    _tasks: JoinSet<()>,
}

impl Filter {
    pub(crate) async fn start(endpoint: &str, keep: fn(&Frame) -> bool) -> Self {
        let (listener, server) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), address(endpoint));
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                connections.spawn(async move {
                    let (mut from_client, mut to_client) = client.into_split();
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let (mut from_server, mut to_server) = server.into_split();
                    let mut preface = [0; PREFACE.len()];
                    from_client.read_exact(&mut preface).await.unwrap();
                    to_server.write_all(&preface).await.unwrap();
                    let (up, down) =
                        (pass(&mut from_client, &mut to_server, keep), pass(&mut from_server, &mut to_client, keep));
                    tokio::select! { _ = up => {}, _ = down => {} }
                });
            }
        });
        Self { endpoint, _tasks: tasks }
    }
}

async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    keep: fn(&Frame) -> bool,
) -> io::Result<()> {
    while let Some(frame) = Frame::read(from).await {
        if keep(&frame) {
            to.write_all(&frame.bytes()).await?;
        }
    }
    Ok(())
}
