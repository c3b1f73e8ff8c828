//! Starts the server that the Connect conformance runner describes: a message on standard input, after its length, and the answer on standard
//! output.

use std::{
    error::Error,
    fs,
    io::{Read, Write, stdin, stdout},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use outcrop::config::{ClientCertificateSettings, Settings, TlsSettings};
use prost::Message;

use crate::{app, serve};
use outcrop_conformance::connect::{ServerCompatRequest, ServerCompatResponse};

/// The longest description of a server.
const MAX_DESCRIPTION: u32 = 1 << 20;

/// A folder that is removed with what is in it.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    let request = read()?;
    let folder = Folder(std::env::temp_dir().join(format!("outcrop-conformance-{}", std::process::id())));
    let mut settings = Settings::local();
    settings.max_request_bytes = request.message_receive_limit.try_into()?;
    settings.tls = tls(&request, &folder.0)?;
    let app = app(&settings).await?;
    let address = app.address();
    let pem_cert = request.server_creds.filter(|_| request.use_tls).map(|creds| creds.cert).unwrap_or_default();
    write(&ServerCompatResponse { host: address.ip().to_string(), port: address.port().into(), pem_cert })?;
    serve(app).await
}

/// The certificates that the runner has sent, as files.
fn tls(request: &ServerCompatRequest, folder: &Path) -> Result<Option<TlsSettings>, Box<dyn Error>> {
    if !request.use_tls {
        return Ok(None);
    }
    let creds = request.server_creds.as_ref().ok_or("the runner sends no certificate")?;
    fs::create_dir_all(folder)?;
    let file = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok::<_, std::io::Error>(path)
    };
    let authorities = if request.client_tls_cert.is_empty() {
        None
    } else {
        Some(ClientCertificateSettings { authorities: file("clients.pem", &request.client_tls_cert)?, required: true })
    };
    Ok(Some(TlsSettings {
        certificate: file("server.pem", &creds.cert)?,
        key: file("server.key", &creds.key)?,
        clients: authorities,
        reload_interval: TlsSettings::RELOAD_INTERVAL,
    }))
}

fn read() -> Result<ServerCompatRequest, Box<dyn Error>> {
    let mut length = [0; 4];
    stdin().read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > MAX_DESCRIPTION {
        return Err(format!("the runner announces a description of {length} bytes").into());
    }
    let mut message = vec![0; length.try_into()?];
    stdin().read_exact(&mut message)?;
    Ok(ServerCompatRequest::decode(message.as_slice())?)
}

fn write(response: &ServerCompatResponse) -> Result<(), Box<dyn Error>> {
    let message = response.encode_to_vec();
    let mut stdout = stdout();
    stdout.write_all(&u32::try_from(message.len())?.to_be_bytes())?;
    stdout.write_all(&message)?;
    Ok(stdout.flush()?)
}
