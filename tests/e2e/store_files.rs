//! The file of the conversations: it is created in one step, for its owner alone, and under its own name.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use crate::{
    process::{Serving, outcrop, run},
    stores::{Folder, kills},
};

#[test]
fn a_server_that_is_killed_during_its_first_start_leaves_no_file_that_the_next_one_refuses() {
    let folder = Folder::new("first-start");
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for number in 0..kills() {
        let store = folder.file(&format!("{number}.redb"));
        let mut first = outcrop(&["serve", "--local", "--listen", "127.0.0.1:0", "--conversations", &store]);
        let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_micros(random.u64(..40_000)));
        first.kill().unwrap();
        first.wait().unwrap();
        println!("seed {seed}, kill {number}: {:?}", fs::metadata(&store).map(|file| file.len()));
        // It panics if the server does not start.
        drop(Serving::start(&["--log", "off", "--conversations", &store]));
    }
    let left: Vec<_> = fs::read_dir(folder.file("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), kills(), "the next start removes temporary files: {left:?}");
}

#[test]
fn the_file_is_readable_by_its_owner_alone_whatever_the_umask() {
    let folder = Folder::new("umask");
    let store = folder.file("conversations.redb");
    let program = outcrop(&[]).get_program().to_owned();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 000; exec \"$@\"", "sh"]).arg(program);
    command.args(["serve", "--local", "--listen", "127.0.0.1:0", "--log", "off", "--conversations", &store]);
    command.stdout(Stdio::piped());
    drop(Serving::listening(&mut command));
    assert_eq!(fs::metadata(&store).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_link_is_not_followed_and_its_target_not_created() {
    let folder = Folder::new("link");
    let (store, target) = (folder.file("conversations.redb"), folder.file("target"));
    symlink(&target, &store).unwrap();
    let (out, err, code) =
        run(&mut outcrop(&["serve", "--local", "--listen", "127.0.0.1:0", "--conversations", &store]));
    assert_eq!((out.as_str(), code), ("", Some(1)), "{err}");
    assert!(err.contains("symbolic link") && err.contains(&store), "{err}");
    assert!(fs::symlink_metadata(&target).is_err(), "the target was created");
}
