//! A pseudo-terminal with a program at its other end: types, waits for texts, and returns all that was shown.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    process::Stdio,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use tokio::{
    process::{Child, Command},
    sync::mpsc,
    task::spawn_blocking,
    time::timeout,
};

use crate::harness::TIMEOUT;

/// The size of the terminal.
pub(crate) const ROWS: u16 = 48;
pub(crate) const COLUMNS: u16 = 80;

/// A program at a terminal of 80 columns.
pub(crate) struct Terminal {
    pub(crate) child: Child,
    keyboard: File,
    screen: mpsc::Receiver<Vec<u8>>,
    /// All that was shown.
    pub(crate) shown: String,
    bytes: Vec<u8>,
    /// How much of it has been waited for.
    seen: usize,
}

impl Terminal {
    pub(crate) fn run(mut command: Command) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let end = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        tcsetwinsize(&end, Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let copy = || Stdio::from(end.try_clone().unwrap());
        command.stdin(copy()).stdout(copy()).stderr(copy()).env("TERM", "xterm");
        let child = command.spawn().unwrap();
        let mut keyboard = File::from(terminal);
        let mut reader = keyboard.try_clone().unwrap();
        let (sender, screen) = mpsc::channel(64);
        spawn_blocking(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.blocking_send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        keyboard.flush().unwrap();
        Self { child, keyboard, screen, shown: String::new(), bytes: Vec::new(), seen: 0 }
    }

    pub(crate) fn keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Types a line at the prompt.
    pub(crate) async fn line(&mut self, line: &str) {
        self.until("> ").await;
        self.keys(line);
        self.keys("\r");
    }

    /// Waits for a text after those that were waited for before. Returns what was shown until its end.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.shown[self.seen..].find(text) {
                let from = self.seen;
                self.seen += at + text.len();
                return self.shown[from..self.seen].to_owned();
            }
            let more = timeout(TIMEOUT, self.screen.recv()).await;
            let Ok(Some(more)) = more else { panic!("{text:?} is missing in {:?}", &self.shown[self.seen..]) };
            self.bytes.extend(more);
            // A character can be cut.
            let valid = match std::str::from_utf8(&self.bytes) {
                Ok(text) => text.len(),
                Err(error) => error.valid_up_to(),
            };
            self.shown = String::from_utf8(self.bytes[..valid].to_vec()).unwrap();
        }
    }

    /// Sends the signal of Ctrl-C, as the terminal of a session does.
    pub(crate) async fn interrupt(&self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    }

    /// All that the program has written, once it has ended.
    pub(crate) async fn all(&mut self) -> &str {
        while let Some(more) = timeout(TIMEOUT, self.screen.recv()).await.unwrap() {
            self.bytes.extend(more);
        }
        self.shown = String::from_utf8(self.bytes.clone()).unwrap();
        &self.shown
    }

    /// Waits for the end. Returns the exit code.
    pub(crate) async fn end(&mut self) -> Option<i32> {
        timeout(TIMEOUT, self.child.wait()).await.unwrap().unwrap().code()
    }
}
