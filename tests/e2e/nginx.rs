//! Behind a real nginx with its default buffers: statuses arrive as they were sent.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use outcrop_client::{
    Client, ClientError,
    proto::{ContentBlock, GenerateRequest, Message, Role},
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Duration, sleep},
};
use tonic::Code;

use crate::harness::{Harness, collect, request, soon};

/// Where nginx may be.
const PROGRAMS: [&str; 3] = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"];

/// An nginx of its own that passes gRPC on, killed if the test fails.
struct Nginx {
    child: Child,
    folder: PathBuf,
    endpoint: String,
}

impl Nginx {
    /// Nothing if there is no nginx, which is said.
    async fn before(harness: &Harness) -> Option<Self> {
        let Some(program) = PROGRAMS.into_iter().find(|path| Path::new(path).exists()) else {
            assert!(
                std::env::var_os("CI_REQUIRE_NGINX").is_none_or(|it| it != "1"),
                "there is no nginx: install nginx-light"
            );
            println!("SKIPPED: there is no nginx. Install the package nginx-light");
            return None;
        };
        // nginx cannot say which free port it took. Another process may take the one that it is given before nginx does.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
            let mut nginx = Self::launch(program, harness, port);
            if soon(nginx.is_up(port)).await {
                return Some(nginx);
            }
        }
        panic!("nginx does not start")
    }

    fn launch(program: &str, harness: &Harness, port: u16) -> Self {
        let upstream = harness.endpoint.strip_prefix("http://").unwrap();
        let folder = std::env::temp_dir().join(format!("outcrop-nginx-{port}"));
        fs::create_dir_all(&folder).unwrap();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let paths: String = temporary.map(|name| format!("{name}_temp_path {}/{name};\n", folder.display())).concat();
        let configuration = format!(
            "daemon off; master_process off; pid {folder}/pid; error_log stderr crit;\n\
             events {{}}\n\
             http {{ access_log off; {paths}\n\
             server {{ listen 127.0.0.1:{port} http2; location / {{ grpc_pass grpc://{upstream}; }} }} }}",
            folder = folder.display(),
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration).unwrap();
        let child =
            Command::new(program).arg("-c").arg(&file).arg("-p").arg(&folder).stderr(Stdio::null()).spawn().unwrap();
        Self { child, folder, endpoint: format!("http://127.0.0.1:{port}") }
    }

    /// Waits until it has written its process id, which it does when it listens. `false` if it has ended.
    async fn is_up(&mut self, port: u16) -> bool {
        while self.child.try_wait().unwrap().is_none() {
            let written = fs::read_to_string(self.folder.join("pid")).unwrap_or_default();
            if written.trim() == self.child.id().to_string() && TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return true;
            }
            sleep(Duration::from_millis(20)).await;
        }
        false
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn twenty_violations_keep_their_code_and_reason_behind_nginx() {
    let harness = Harness::start().await;
    let Some(nginx) = Nginx::before(&harness).await else { return };
    let client = Client::connect(&nginx.endpoint).await.unwrap();
    soon(collect(soon(client.generate(request(""))).await.unwrap())).await.whole();
    for blocks in [20, 100, 5_000] {
        let content = vec![ContentBlock::default(); blocks];
        let messages = vec![Message { role: Role::User.into(), content }];
        let asked = soon(client.generate(GenerateRequest { messages, ..GenerateRequest::default() })).await;
        let result = match asked {
            Ok(chunks) => soon(collect(chunks)).await.result,
            Err(error) => Err(error),
        };
        let Err(ClientError::Call(error)) = result else { panic!("{blocks}: {result:?}") };
        assert_eq!(
            (error.code, error.reason.as_str()),
            (Code::InvalidArgument, "INVALID_REQUEST"),
            "{blocks}: {error}"
        );
        let shown = error.violations.len();
        assert!(shown > 5, "{shown} of {blocks}");
    }
}
