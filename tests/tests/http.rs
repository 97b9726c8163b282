//! ATTACKS 24 and 44 through the real verifier: a repository over HTTP, from a server that lies about everything it can.

use proofmark_tests::world::{GROUP, HOST};
use proofmark_tests::{Host, Outcome, World};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What a server answers for one path instead of the file.
type Lie = fn(&mut TcpStream, &[u8]);

/// Serves `base` on loopback until the test ends; requests for paths that end in `victim` get the lie.
fn serve(base: &Path, victim: &'static str, lie: Option<Lie>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let base = base.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let base = base.clone();
            std::thread::spawn(move || answer(stream, &base, victim, lie));
        }
    });
    url
}

fn answer(mut stream: TcpStream, base: &Path, victim: &str, lie: Option<Lie>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
        let mut header = String::new();
        while reader.read_line(&mut header).unwrap_or(0) > 2 {
            header.clear();
        }
        let path = request.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').replace("%2B", "+");
        let file: PathBuf = base.join(&path);
        let Ok(bytes) = std::fs::read(&file) else {
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
            continue;
        };
        if let Some(lie) = lie.filter(|_| path.ends_with(victim)) {
            lie(&mut stream, &bytes);
            return;
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes));
    }
}

fn init(world: &World, host: &Host, url: &str) -> Outcome {
    let trust = world.file("trust/1.trust.json");
    let pin = world.pin().to_string();
    host.verifier(&[
        "init",
        "--trust",
        trust.to_str().unwrap(),
        "--sha256",
        &pin,
        "--host",
        HOST,
        "--environment",
        "prod",
        "--group",
        GROUP,
        "--repository",
        url,
    ])
}

fn reply(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

#[test]
fn a_host_is_set_up_and_updated_over_http() {
    let world = World::standard();
    let host = Host::new();
    init(&world, &host, &serve(world.path(), "", None)).ok();
    host.update().ok();
    let status = host.verifier(&["status"]).ok();
    assert!(status.stdout.contains("router 1.2"), "{status:#?}");
}

#[test]
fn attack_24_a_server_that_lies_is_refused_and_nothing_is_stored() {
    let lies: [(&str, &str, Lie); 8] = [
        ("a redirect", "latest", |s, _| reply(s, "302 Found", "Location: http://127.0.0.1:9/latest\r\n", b"")),
        ("partial content", "1.index.json", |s, b| reply(s, "206 Partial Content", "Content-Range: bytes 0-9/10\r\n", b)),
        ("not modified", "1.head.json", |s, _| reply(s, "304 Not Modified", "", b"")),
        ("a server error", "1.head.json", |s, b| reply(s, "500 Internal Server Error", "", b)),
        ("another length", "1.index.json", |s, b| {
            let _ =
                write!(s, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", b.len() + 10).and_then(|()| s.write_all(b));
        }),
        ("a content encoding", "1.index.json", |s, b| reply(s, "200 OK", "Content-Encoding: gzip\r\n", b)),
        ("an endless document", "latest", |s, _| {
            let _ = s.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            while s.write_all(&[b' '; 4096]).is_ok() {}
        }),
        ("headers that never end", "latest", |s, _| {
            let _ = s.write_all(b"HTTP/1.1 200 OK\r\n");
            while s.write_all(b"X-More: 0123456789012345678901234567890123456789\r\n").is_ok() {}
        }),
    ];
    for (name, victim, lie) in lies {
        let world = World::standard();
        let host = Host::new();
        let outcome = init(&world, &host, &serve(world.path(), victim, Some(lie)));
        if name == "a content encoding" {
            // Never decoded: the header is ignored and the bytes are what they are, or the answer is refused.
            assert!([0, 90, 98].contains(&outcome.code), "{name}: {outcome:#?}");
            continue;
        }
        assert!([81, 90, 95, 98].contains(&outcome.code), "{name}: {outcome:#?}");
        assert!(outcome.stderr.contains("\nnext: "), "{name}: {outcome:#?}");
        assert!(host.state().is_empty(), "{name}: nothing is stored");
    }
}

#[test]
fn attack_44_with_the_repository_down_a_host_starts_what_it_has_and_a_new_one_says_98() {
    let world = World::standard();
    let host = Host::of(&world);
    host.update().ok();
    // Nobody listens on the discard port of loopback.
    let config = host.file("etc/proofmark/host.toml");
    let text = std::fs::read_to_string(&config).unwrap().replace(world.path().to_str().unwrap(), "http://127.0.0.1:9/");
    std::fs::write(&config, text).unwrap();
    host.update().refused(98, "unreachable");
    host.run().ok();
    init(&world, &Host::new(), "http://127.0.0.1:9/").refused(98, "unreachable");
}

/// What a server gave: path and bytes.
type Given = Arc<Mutex<Vec<(String, usize)>>>;

/// A server that knows ranges and tells what it gave.
fn counting(base: &Path) -> (String, Given) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (base, given) = (base.to_owned(), Given::default());
    let log = given.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (base, log) = (base.clone(), log.clone());
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                loop {
                    let (mut request, mut from) = (String::new(), 0);
                    if reader.read_line(&mut request).unwrap_or(0) == 0 {
                        return;
                    }
                    let mut header = String::new();
                    while reader.read_line(&mut header).unwrap_or(0) > 2 {
                        if let Some(range) = header.to_lowercase().strip_prefix("range: bytes=") {
                            from = range.trim_end().trim_end_matches('-').parse().unwrap();
                        }
                        header.clear();
                    }
                    let path = request.split(' ').nth(1).unwrap().trim_start_matches('/').replace("%2B", "+");
                    let Ok(bytes) = std::fs::read(base.join(&path)) else {
                        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
                        continue;
                    };
                    let (body, size) = (&bytes[from..], bytes.len());
                    let status = match from {
                        0 => "200 OK".to_owned(),
                        _ => format!("206 Partial Content\r\nContent-Range: bytes {from}-{}/{size}", size - 1),
                    };
                    log.lock().unwrap().push((path, body.len()));
                    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
                    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
                }
            });
        }
    });
    (url, given)
}

/// A host of these repositories, set up from the last one.
fn host_of(world: &World, urls: &[&str]) -> Host {
    let host = Host::new();
    init(world, &host, urls[urls.len() - 1]).ok();
    let list: Vec<String> = urls.iter().map(|url| format!("{url:?}")).collect();
    std::fs::write(host.file("etc/proofmark/host.toml"), format!("repository = [{}]\n", list.join(", "))).unwrap();
    host
}

fn bundle_bytes(given: &Given) -> Vec<usize> {
    given.lock().unwrap().iter().filter(|(path, _)| path.ends_with(".tar.zst")).map(|(_, bytes)| *bytes).collect()
}

/// Half of the file, then nothing more.
fn half(stream: &mut TcpStream, bytes: &[u8]) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes[..bytes.len() / 2]));
}

/// Half of another file of that size.
fn false_half(stream: &mut TcpStream, bytes: &[u8]) {
    half(stream, &vec![0; bytes.len()]);
}

#[test]
fn attack_24_43_a_download_cut_off_by_one_mirror_is_gone_on_with_from_the_next_and_the_digest_decides() {
    let world = World::standard();
    let size = world.index.as_ref().map(|_| world.bundle(&["report"]).bytes.len()).unwrap();
    let (good, given) = counting(world.path());
    let host = host_of(&world, &[&serve(world.path(), ".tar.zst", Some(half)), &good]);
    host.update().ok();
    assert_eq!(bundle_bytes(&given), [size - size / 2], "only the second half is asked for again");
    host.verifier(&["verify", "--full"]).ok();

    // What a liar has begun is thrown away when the whole turns out wrong, and the honest one is asked for all.
    let (good, given) = counting(world.path());
    let host = host_of(&world, &[&serve(world.path(), ".tar.zst", Some(false_half)), &good]);
    host.update().ok();
    assert_eq!(bundle_bytes(&given), [size - size / 2, size]);
    host.verifier(&["verify", "--full"]).ok();

    // The same over two runs: the first finds nobody who has the second half.
    let (good, given) = counting(world.path());
    let cut = serve(world.path(), ".tar.zst", Some(half));
    let host = host_of(&world, &[&cut, &cut]);
    host.update().refused(98, "unreachable");
    let config = host.file("etc/proofmark/host.toml");
    std::fs::write(&config, format!("repository = [{good:?}]\n")).unwrap();
    host.update().ok();
    assert_eq!(bundle_bytes(&given), [size - size / 2]);
    assert!(!host.state().iter().any(|(path, _)| path.to_string_lossy().ends_with(".partial")), "nothing is left of it");
}

#[test]
fn attack_15_43_a_stale_mirror_and_one_that_is_half_updated_do_not_hide_what_another_one_has() {
    let mut world = World::standard();
    let stale = copy(&world);
    let lagging = copy(&world);
    world.publish_head(|_| {}, &["head-1"]);
    // Half updated: `latest` is new, what it names is not there yet.
    std::fs::copy(world.file("latest"), lagging.path().join("latest")).unwrap();
    let urls = [stale.path(), lagging.path(), world.path()].map(|base| serve(base, "", None));
    let host = host_of(&world, &urls.each_ref().map(String::as_str));
    let update = host.update().ok();
    assert!(update.stdout.contains("accepted: head 2,"), "{update:#?}");
    // Now the stale one alone: older than what was accepted.
    std::fs::write(host.file("etc/proofmark/host.toml"), format!("repository = [{:?}]\n", urls[0])).unwrap();
    host.update().refused(84, "rollback");
}

fn copy(world: &World) -> tempfile::TempDir {
    use proofmark::store::{Directory, Store};
    let (dir, from) = (tempfile::tempdir().unwrap(), Directory::new(world.path()));
    for found in from.walk("").unwrap() {
        let path = dir.path().join(&found.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::copy(world.file(&found.path), path).unwrap();
    }
    dir
}
