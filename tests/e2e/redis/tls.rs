//! Conversations in a Redis that speaks TLS alone, checked with a CA of its own or with those of the system.

use std::fs;

use outcrop_client::{Client, proto::CreateConversationRequest};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::server::Redis;
use crate::{
    conversations::turn,
    harness::{collect, soon},
    process::{Serving, outcrop, run},
    stores::Folder,
};

/// The files of a CA and of a certificate for 127.0.0.1 by it.
fn certificates(folder: &Folder) -> (String, String, String) {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let own = own.signed_by(&key, &ca).unwrap();
    let write = |name: &str, text: String| {
        fs::write(folder.file(name), text).unwrap();
        folder.file(name)
    };
    (write("ca.pem", ca.pem()), write("own.pem", own.pem()), write("own.key", key.serialize_pem()))
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_are_kept_over_tls_with_a_ca_of_its_own() {
    let folder = Folder::new("redis-tls-certificates");
    let (ca, own, key) = certificates(&folder);
    let started = Redis::start_at("redis-tls", |port| {
        let port = port.to_string();
        let tls = ["--tls-port", &port, "--tls-cert-file", &own, "--tls-key-file", &key];
        let tls = [&tls[..], &["--tls-ca-cert-file", &ca, "--tls-auth-clients", "no"]].concat();
        tls.into_iter().map(str::to_owned).collect()
    });
    let Some(redis) = started else { return };
    let address = format!("rediss://127.0.0.1:{}/0", redis.other_port);
    let flags = ["serve", "--local", "--listen", "127.0.0.1:0", "--log", "off", "--conversations", &address];
    // The CA comes from a file of its own, or is one of the system's.
    let mut by_file = outcrop(&[&flags[..], &["--conversations-ca", &ca]].concat());
    let mut by_system = outcrop(&flags);
    by_system.env("SSL_CERT_FILE", &ca);
    for command in [&mut by_file, &mut by_system] {
        let serving = Serving::listening(command);
        let client = Client::connect(&serving.endpoint).await.unwrap();
        let id = soon(client.create_conversation(CreateConversationRequest::default())).await.unwrap().conversation_id;
        soon(collect(soon(client.generate(turn(&id, "emulator.tools", "hi"))).await.unwrap())).await.whole();
        assert_eq!(soon(client.conversation(&id)).await.unwrap().1.len(), 1);
    }
    // A certificate of an unknown authority is refused.
    let (_, err, code) = run(&mut outcrop(&flags));
    assert!(err.contains("is not trusted") && err.contains("--conversations-ca") && code == Some(1), "{err}");
}
