//! The opening of a connection: the handshake of TLS if there is one, and the version of HTTP.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
};

use http::Extensions;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::{
    socket::{Socket, Version},
    transport::Transport,
};
use crate::edge::tls::{ClientCertificate, Encrypted, HANDSHAKE_RECORD, OverTls, Tls};

/// A connection whose version of HTTP is known.
pub(super) struct Opened {
    pub(super) version: Version,
    pub(super) socket: Socket<Transport>,
    pub(super) peer: Peer,
}

/// What is known of the client of a connection. Every request has it among its extensions.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    address: TcpConnectInfo,
    is_encrypted: bool,
    certificate: Option<ClientCertificate>,
}

impl Peer {
    /// Where the client connects from.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address.remote_addr()
    }

    /// Adds it to the extensions of a request.
    pub(super) fn attach(&self, extensions: &mut Extensions) {
        extensions.insert(self.address.clone());
        if self.is_encrypted {
            extensions.insert(OverTls);
        }
        if let Some(certificate) = &self.certificate {
            extensions.insert(certificate.clone());
        }
    }
}

/// Opens a connection. `None` if the client has closed it. The caller limits the time.
///
/// # Errors
/// If reading fails, or the client does not keep to the protocol.
pub(super) async fn open(stream: TcpStream, tls: Option<&Tls>) -> io::Result<Option<Opened>> {
    let address = stream.connect_info();
    let Some(tls) = tls else {
        let detected = Socket::detect(Transport::Plain(stream)).await?;
        let peer = Peer { address, is_encrypted: false, certificate: None };
        return Ok(detected.map(|(version, socket)| Opened { version, socket, peer }));
    };
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Ok(None);
    }
    if first[0] != HANDSHAKE_RECORD {
        tls.plaintext();
        refuse_plaintext(stream).await?;
        return Err(io::Error::new(ErrorKind::InvalidData, "the client does not speak TLS"));
    }
    let Encrypted { stream, client } = match tls.handshake(stream).await {
        Ok(encrypted) => encrypted,
        Err((error, stream)) => {
            // The client can have sent a call after its part of the handshake. To close at once would reset the connection, and the client
            // could lose the alert that tells why.
            Socket::of(stream).shutdown().await?;
            return Err(error);
        }
    };
    let negotiated = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Some(Version::Http2),
        Some(_) => Some(Version::Http1),
        None => None,
    };
    let Some((version, socket)) = Socket::detect(Transport::Tls(Box::new(stream))).await? else { return Ok(None) };
    if negotiated.is_some_and(|negotiated| negotiated != version) {
        let problem = format!("the client negotiated {negotiated:?} and speaks {version:?}");
        return Err(io::Error::new(ErrorKind::InvalidData, problem));
    }
    Ok(Some(Opened { version, socket, peer: Peer { address, is_encrypted: true, certificate: client } }))
}

/// What a client without TLS is told.
const SPEAKS_TLS: &str = "This port speaks TLS. Call it with https:// (grpcurl: without -plaintext)\n";

/// The empty SETTINGS with which a server begins.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// The rest of the head of a GOAWAY frame after its length, and its fixed part: no stream, `INADEQUATE_SECURITY`.
const GOAWAY: [u8; 14] = [7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12];

/// The bytes of the head of a frame after its length.
const REST_OF_HEAD: usize = 6;

/// Tells a client that does not speak TLS what this port speaks, in the version of HTTP that it speaks.
async fn refuse_plaintext(stream: TcpStream) -> io::Result<()> {
    let Some((version, mut socket)) = Socket::detect(stream).await? else { return Ok(()) };
    let answer = match version {
        Version::Http1 => format!(
            "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{SPEAKS_TLS}",
            SPEAKS_TLS.len()
        )
        .into_bytes(),
        Version::Http2 => {
            let length = (GOAWAY.len() - REST_OF_HEAD + SPEAKS_TLS.len()).to_be_bytes();
            [&SETTINGS, &length[length.len() - 3..], &GOAWAY, SPEAKS_TLS.as_bytes()].concat()
        }
    };
    socket.write_all(&answer).await?;
    socket.shutdown().await
}
