//! Which user of this host a payload's user name means. Never root, unless the manifest says `dangerous_root`.

use crate::config::{Config, User};
use crate::failure;
use crate::files::read_configuration;
use crate::host::Host;
use proofmark_core::manifest::Launch;
use proofmark_core::name::Name;
use proofmark_core::{Reason, Refusal, Result};

/// Largest `/etc/passwd`, bytes.
const LIMIT: usize = 4 << 20;

/// The user: `[users]` of host.toml, else `/etc/passwd`. No other database is asked: their libraries could be anybody's.
pub fn lookup(host: &Host, launch: &Launch) -> Result<User> {
    let configured = Config::load(&host.layout)?.unwrap_or_default().users.get(&launch.user).copied();
    let user = match configured {
        Some(user) => user,
        None => {
            let passwd = read_configuration(&host.layout.passwd(), LIMIT)?.unwrap_or_default();
            find(&String::from_utf8_lossy(&passwd), &launch.user).ok_or_else(|| {
                let want = format!("an entry in [users] of {} or in /etc/passwd", host.layout.host_toml().display());
                failure::lacks(format_args!("user {}", launch.user), want, "none")
            })?
        }
    };
    if (user.uid == 0 || user.gid == 0) && !launch.dangerous_root {
        let have = format!("uid {}, gid {}", user.uid, user.gid);
        return Err(Refusal::new(Reason::Policy, format_args!("user {}", launch.user), "a user and a group other than root's", have));
    }
    Ok(user)
}

/// `NAME:x:UID:GID:...`, the first line of that name (passwd(5)).
fn find(passwd: &str, name: &Name) -> Option<User> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name.as_str()))?;
    let mut fields = line.split(':').skip(2);
    let mut id = || fields.next()?.parse::<u32>().ok().filter(|&id| id != u32::MAX);
    Some(User { uid: id()?, gid: id()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwd_lines_are_found_by_their_whole_name() {
        let passwd = "router2:x:1:2::/:/x\n#router:x:3:3\nrouter:x:990:991:r:/:/x\nrouter:x:0:0::/:/x\nbad:x:-1:0\nall:x:4294967295:1\n";
        assert_eq!(find(passwd, &"router".parse().unwrap()), Some(User { uid: 990, gid: 991 }));
        for none in ["route", "bad", "all", "x"] {
            assert_eq!(find(passwd, &none.parse().unwrap()), None, "{none}");
        }
    }
}
