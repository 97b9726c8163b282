//! ATTACKS 40, 41, 43: publication into directories and object stores. A writer that is cut off at any operation leaves what every poller
//! can use and what the next run completes; of two publishers one wins, and nothing is lost.

use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path as Place;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};
use proofmark::exit::Refuse;
use proofmark::gc::{self, Policy};
use proofmark::history::{self, Wanted};
use proofmark::keys::SecretKey;
use proofmark::proposal::{self, Desk};
use proofmark::repository::Repository;
use proofmark::store::{Directory, Objects, Store};
use proofmark::{clock, head, log, statement};
use proofmark_core::group::Mode;
use proofmark_core::trust::Key;
use proofmark_core::{Digest, Time, json};
use proofmark_tests::faulty::{Shared, check_view};
use proofmark_tests::published::{self, BUILDINFO, key, world};
use proofmark_tests::s3::{S3, upload};
use proofmark_tests::world::{GROUP, HOST, role};
use proofmark_tests::{Bundle, Host, Outcome, World, binary};
use std::cell::Cell;
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A proposal of the next index. `seconds` makes it another one.
fn mailed(world: &World, seconds: u64) -> tempfile::TempDir {
    let mut group = world.group(&published::bundle(world, &["report"]));
    group.freshness.restart_seconds = seconds;
    published::mailed(world, &[group])
}

/// The same world with four indexes: each gives the group the next bundle, and the last leaves a way back to the first.
fn history() -> (World, [Bundle; 4]) {
    let mut world = World::new();
    let bundles = ["one", "two", "three", "four"].map(|argument| published::bundle(&world, &["report", argument]));
    for (number, bundle) in bundles.iter().enumerate() {
        published::publish(&world, bundle);
        let mut group = world.group(bundle);
        if number > 0 {
            group.mode = Mode::Upgrade;
            group.from = vec![Digest::of(&bundles[number - 1].bytes)];
        }
        if number == 3 {
            group.rollback_targets = vec![Digest::of(&bundles[0].bytes)];
        }
        world.publish_index(&[group], |_| {}, &["ci-1", "alice-1"]);
        world.publish_head(|_| {}, &["head-1"]);
    }
    (world, bundles)
}

#[test]
fn gc_removes_what_no_kept_index_names_and_nothing_that_may_still_be_asked_for() {
    let (world, bundles) = history();
    let [one, two, three, four] = bundles.each_ref().map(|bundle| format!("bundles/{}/", Digest::of(&bundle.bytes)));
    // An open proposal names a bundle that no index has; a closed one is history; inputs of a needed bundle and of none.
    let mail = mailed(&world, 700_000);
    for entry in Directory::new(mail.path()).walk("").unwrap() {
        world.write(&format!("proposals/5/{}", entry.path), &std::fs::read(mail.path().join(&entry.path)).unwrap());
    }
    let proposed = format!("bundles/{}/", Digest::of(&published::bundle(&world, &["report"]).bytes));
    published::publish(&world, &published::bundle(&world, &["report"]));
    world.write("proposals/2/2.index.json", b"{}");
    let used = std::str::from_utf8(BUILDINFO).unwrap().split("\"sha256\": \"").nth(1).unwrap()[..64].to_owned();
    world.write(&format!("inputs/{used}"), b"");
    world.write(&format!("inputs/{}.tar.zst", Digest::of(b"old")), b"");
    world.write("bundles/README", b"not ours");

    let objects = Objects::new(Box::new(InMemory::new()), "repository".into(), "memory".into()).unwrap();
    upload(world.path(), &objects);
    for store in [Rc::new(objects) as Rc<dyn Store>, Rc::new(Directory::new(world.path()))].map(Shared) {
        let repository = Repository::open(store.whole(), None).unwrap();
        let later = clock::now().unwrap().plus(60);
        let young = Policy { indexes: 1, heads: 1, seconds: 3600 };
        assert_eq!(gc::find(&repository, young, later).unwrap(), [], "somebody may be about to name what is young");
        let keep_all = Policy { indexes: 4, heads: 4, seconds: 30 };
        let all: Vec<String> = gc::find(&repository, keep_all, later).unwrap().into_iter().map(|found| found.path).collect();
        assert_eq!(all, ["proposals/2/2.index.json".to_owned(), format!("inputs/{}.tar.zst", Digest::of(b"old"))]);

        let found = gc::find(&repository, Policy { indexes: 1, ..young_of(30) }, later).unwrap();
        let paths: Vec<&str> = found.iter().map(|found| found.path.as_str()).collect();
        let has = |start: &str| paths.iter().any(|path| path.starts_with(start));
        assert!(has(&two) && has("index/1.") && has("index/2.") && has("head/1.") && has("proposals/2/"), "{paths:#?}");
        for kept in [
            &one,
            // What the group had before: where a rollback goes that nobody has thought of yet.
            &three,
            "index/3.",
            &four,
            &proposed,
            "index/4.",
            "head/4.",
            "proposals/5/",
            "trust/",
            "latest",
            &format!("inputs/{used}"),
            "bundles/README",
        ] {
            assert!(!has(kept), "{kept}");
        }
        let at = |path: &str| paths.iter().position(|other| *other == path).unwrap();
        assert!(at("index/1.index.json") < at("index/1.index.json.ci-1.minisig"), "no document is seen without its signatures");

        // Cut off at any operation, the next run completes it.
        let mut fail_at = 0;
        loop {
            let cut = Repository::open(store.faulty(&Rc::default(), fail_at, false), None).unwrap();
            let found = gc::find(&repository, young_of(30), later).unwrap();
            fail_at += 7;
            if gc::remove(&cut, &found).is_ok() {
                break;
            }
            assert_eq!(repository.published_version(4).unwrap().groups.len(), 1);
        }
        assert_eq!(gc::find(&repository, young_of(30), later).unwrap(), []);
        assert_eq!(repository.newest_index().unwrap(), 4);
        // What reads history says where it ends, and goes on.
        let log = log::log(&repository, 1).unwrap();
        assert!(!log.is_whole() && log.words().contains("index 1 to 2: not here"));
        assert_eq!((log.broken(), log.indexes.len(), log.indexes[0].document.as_str()), (vec![], 3, "index 1 to 2"));
        let before = history::before(&repository, &GROUP.parse().unwrap(), Digest::of(&bundles[3].bytes)).unwrap();
        assert_eq!(before.unwrap().0, 3);
        let gone = Wanted::Digest(Digest::of(&bundles[1].bytes));
        assert!(history::find(&repository, &gone, &|_| true).unwrap().is_none());
    }
    let host = Host::of(&world);
    host.update().ok();

    // A buildinfo that is not the one of its bundle tells nothing: then every input stays. So does the index that the head names.
    let repository = Repository::open(Box::new(Directory::new(world.path())), None).unwrap();
    world.write("inputs/README.tar.zst", b"");
    world.write(&format!("inputs/{}", Digest::of(b"unused")), b"");
    let inputs = |repository: &Repository| {
        let found = gc::find(repository, young_of(30), clock::now().unwrap().plus(60)).unwrap();
        found.iter().filter(|found| found.path.starts_with("inputs/")).count()
    };
    assert_eq!(inputs(&repository), 1);
    world.write(&format!("{four}{}", bundles[3].file().replace(".tar.zst", ".buildinfo.json")), b"{}");
    assert_eq!(inputs(&repository), 0);
}

/// The narrowest policy, for what is older than so many seconds.
fn young_of(seconds: i64) -> Policy {
    Policy { indexes: 1, heads: 1, seconds }
}

/// Index 2, then a head for it.
fn publish(store: Box<dyn Store>, mail: &Path, key: &SecretKey) -> Result<(), String> {
    let words = |refusal: &dyn Refuse| refusal.refusal().to_string();
    let repository = Repository::open(store, None).map_err(|error| words(&error))?;
    {
        let _lock = repository.lock().map_err(|error| words(&error))?;
        proposal::publish(&Desk::new(&repository, &[mail.to_owned()], None), 2).map_err(|error| words(&error))?;
    }
    head::publish(&repository, key, clock::now().unwrap(), 3600).map(drop).map_err(|error| words(&error))
}

#[test]
fn attack_40_43_a_publisher_cut_off_at_any_operation_leaves_a_whole_view_and_the_next_run_completes_it() {
    let world = world();
    let head_key = key(&world, "head-1");
    let mail = mailed(&world, 700_000);
    let (mut injected, dirs) = (0, tempfile::tempdir().unwrap());
    let object_store = |_: usize| -> Rc<dyn Store> {
        let objects = Objects::new(Box::new(InMemory::new()), "repository".into(), "memory".into()).unwrap();
        upload(world.path(), &objects);
        Rc::new(objects)
    };
    let directory = |number: usize| -> Rc<dyn Store> {
        let directory = Directory::new(&dirs.path().join(number.to_string()));
        upload(world.path(), &directory);
        Rc::new(directory)
    };
    for make in [&object_store as &dyn Fn(usize) -> Rc<dyn Store>, &directory] {
        for is_after in [false, true] {
            for fail_at in 0.. {
                injected += 1;
                let store = Shared(make(injected));
                let operations = Rc::new(Cell::new(0));
                let outcome = publish(store.faulty(&operations, fail_at, is_after), mail.path(), &head_key);
                let view = check_view(&store, (1, 1));
                if outcome.is_ok() {
                    assert_eq!(view, (2, 2));
                    break;
                }
                assert!(outcome.unwrap_err().contains("injected"), "nothing but the fault");
                // A claim of a head that nobody completes is left behind after a while; everything else is taken up.
                publish(store.whole(), mail.path(), &head_key).unwrap();
                let view = check_view(&store, view);
                assert!(view.0 == 2 && (2..=3).contains(&view.1), "{view:?} after a fault at operation {fail_at}");
                assert_eq!(Repository::open(store.whole(), None).unwrap().heads().unwrap().current.unwrap().index.version, 2);
            }
        }
    }
    assert!(injected > 40, "{injected} faults");
}

#[test]
fn attack_17_after_the_rotation_the_next_head_is_the_one_after_the_last_honest_one_whatever_a_thief_has_numbered() {
    let last = (1_u64 << 53) - 1;
    for wild in [last, last - 1, 1000] {
        let mut world = world();
        let host = Host::of(&world);
        let thief = key(&world, "head-1");
        let later: Time = "2099-01-01T00:00:00Z".parse().unwrap();
        world.publish_head(|head| head.version = wild, &["head-1"]);
        host.update().ok();
        let open = || Repository::open(Box::new(Directory::new(world.path())), None).unwrap();
        let now = clock::now().unwrap();
        if wild == last {
            let refusal = head::publish(&open(), &thief, now, 3600).unwrap_err().refusal();
            assert_eq!((refusal.code as u8, refusal.reason), (90, "limit"));
            assert!(refusal.have.unwrap().contains("head-1") && refusal.next.unwrap().contains("trust rotate"));
        } else {
            // One more, of the year 2099, which only the repository sees.
            head::publish(&open(), &thief, later, 3600).unwrap();
        }

        let mut trust = world.trust.clone();
        trust.version = 2;
        let public = world.new_key("head-2");
        trust.keys.remove("head-1");
        trust.keys.insert("head-2".parse().unwrap(), Key { holder: "clock-2".parse().unwrap(), public });
        trust.roles.head = role(&[("head", 1, &["head-2"])]);
        world.publish_trust_quietly(&trust, &["root-1"]);
        let open = || Repository::open(Box::new(Directory::new(world.path())), None).unwrap();
        let honest = key(&world, "head-2");
        // Until then no adopt document takes the thief's number for a floor.
        let adopt = || statement::adopt(&open(), &HOST.parse().unwrap(), "ci".parse().unwrap(), now, 3600);
        assert!(adopt().is_err());
        assert_eq!(head::publish(&open(), &honest, now, 3600).unwrap().version, 2, "after {wild}");
        adopt().unwrap();
        host.update().ok();

        // A file that nobody signed is in the way of nothing; nor is the thief's, where `latest` is lost or says so.
        world.write("head/3.head.json", b"{}");
        for latest in [None, Some(wild)] {
            match latest {
                None => world.remove("latest"),
                Some(wild) => world.write_latest(|latest| latest.head = wild),
            }
            let head = head::publish(&open(), &honest, clock::now().unwrap(), 3600).unwrap();
            assert_eq!(head.version, if latest.is_none() { 4 } else { 5 });
            host.update().ok();
        }
        let found = gc::find(&open(), Policy { indexes: 1, heads: 1, seconds: 30 }, clock::now().unwrap().plus(60)).unwrap();
        assert!(found.iter().all(|found| !found.path.starts_with("head/5.")) && found.iter().any(|found| found.path == "head/4.head.json"));
    }
}

/// Ends the poller, also when an assertion fails.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// An object store that takes no notice of the conditions of the kind that is named.
#[derive(Debug)]
struct Careless(InMemory, fn(&PutMode) -> bool);

impl std::fmt::Display for Careless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("careless")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Careless {
    async fn put_opts(&self, path: &Place, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        if self.1(&options.mode) {
            options.mode = PutMode::Overwrite;
        }
        self.0.put_opts(path, payload, options).await
    }
    async fn put_multipart_opts(&self, path: &Place, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(path, options).await
    }
    async fn get_opts(&self, path: &Place, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(path, options).await
    }
    fn delete_stream(&self, paths: BoxStream<'static, Result<Place>>) -> BoxStream<'static, Result<Place>> {
        self.0.delete_stream(paths)
    }
    fn list(&self, prefix: Option<&Place>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Place>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Place, to: &Place, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[test]
fn attack_43_an_object_store_that_ignores_conditions_is_refused_before_anything_is_written() {
    let careful: fn(&PutMode) -> bool = |_| false;
    let no_create: fn(&PutMode) -> bool = |mode| matches!(mode, PutMode::Create);
    let no_update: fn(&PutMode) -> bool = |mode| matches!(mode, PutMode::Update(_));
    for (careless, is_fit) in [(careful, true), (no_create, false), (no_update, false)] {
        let objects = Objects::new(Box::new(Careless(InMemory::new(), careless)), "".into(), "careless".into()).unwrap();
        for _ in 0..2 {
            match objects.lock() {
                Ok(_) => assert!(is_fit),
                Err(error) => assert_eq!((error.refusal().code as u8, error.refusal().reason, is_fit), (91, "unfit-store", false)),
            }
        }
    }
}

/// `proofmark` against the bucket; not started.
fn proofmark(s3: &S3, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("proofmark"));
    command.args(arguments).args(["--repository", &s3.place()]).envs(s3.variables()).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn init(world: &World, host: &Host, url: &str) {
    let (trust, pin) = (world.file("trust/1.trust.json"), world.pin().to_string());
    let arguments = ["init", "--trust", trust.to_str().unwrap(), "--sha256", &pin, "--host", HOST, "--environment", "prod"];
    host.verifier(&[&arguments[..], &["--group", GROUP, "--repository", url]].concat()).ok();
}

#[test]
fn attack_43_two_publishers_race_into_a_real_object_store_and_one_wins_while_hosts_see_old_or_new() {
    let Some(s3) = S3::start() else { return };
    let mut world = world();
    upload(world.path(), &s3.store());
    let (_keys, head_key) = published::key_file(&world, "head-1");
    let host = Host::new();
    init(&world, &host, &s3.url());

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // A host that never stops asking: old or new, and never a word of complaint.
        let poller = scope.spawn(|| {
            let mut polls = 0;
            while !stop.load(Ordering::SeqCst) {
                host.update().ok();
                polls += 1;
            }
            polls
        });
        let stopping = Stopping(&stop);
        let race = |first: &[&str], second: &[&str]| -> [Outcome; 2] {
            let children = [first, second].map(|arguments| proofmark(&s3, arguments).spawn().unwrap());
            children.map(|child| child.wait_with_output().unwrap().into())
        };
        let rounds = std::env::var("PROOFMARK_PUBLICATIONS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(4);
        for round in 0..rounds {
            let version = round + 2;
            let mails = [mailed(&world, 700_000 + version), mailed(&world, 800_000 + version)];
            let [first, second] = [&mails[0], &mails[1]].map(|mail| mail.path().to_str().unwrap());
            let outcomes = race(&["publish", "--proposal", first], &["publish", "--proposal", second]);
            let winners: Vec<usize> = (0..2).filter(|which| outcomes[*which].code == 0).collect();
            assert_eq!(winners.len(), 1, "one wins: {outcomes:#?}");
            let loser = &outcomes[1 - winners[0]];
            assert_eq!(loser.code, 84, "the other is told so: {loser:#?}");
            let index = std::fs::read(mails[winners[0]].path().join(format!("{version}.index.json"))).unwrap();
            world.index = Some((json::parse(&index, "index").unwrap(), Digest::of(&index), index.len() as u64));
            // Two heads at once: both are published, one after the other, or they are of one second and the very same.
            let arguments = ["head", "--key", head_key.to_str().unwrap()];
            for outcome in race(&arguments, &arguments) {
                outcome.ok();
            }
        }
        drop(stopping);
        assert!(poller.join().unwrap() > 2);

        let repository = Repository::open(Box::new(s3.store()), None).unwrap();
        for version in 1..=rounds + 1 {
            repository.published_version(version).unwrap();
        }
        let update = host.update().ok();
        assert!(update.stdout.contains(&format!(", index {}, trust 1", rounds + 1)), "{update:#?}");
    });
}
