//! The image that all nodes of a release share: two read-only layers, built once and kept.
//!
//! `base-<hash>` is a bare Debian by mmdebstrap. `packages-<hash>` lies above it and holds what depends on the host and
//! on the inventory: package sources, certificate authorities, package lists and downloaded archives. A layer's hash
//! covers all that goes into it, so a layer of that name needs no check; it is never changed once it has its name,
//! for running nodes stand on it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use super::cgroup::Cgroup;
use super::sources::{self, Files};
use super::spec::{Lab, Release, hex};
use super::{mounts, node, tools};

/// Raised when an image is built in another way.
const FORMAT: &str = "2";
const INCLUDED: &str =
    "systemd,systemd-sysv,dbus,openssh-server,iproute2,iptables,sudo,ca-certificates,procps,iputils-ping";
/// Units of a bare installation that only cost time in a lab, or fail in a container.
const MASKED: &[&str] = &[
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "ldconfig.service",
    "systemd-firstboot.service",
    "systemd-journal-catalog-update.service",
    "systemd-modules-load.service",
    "systemd-networkd-wait-online.service",
];
const BUILD: Duration = Duration::from_secs(900);
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Returns the layers for new nodes, uppermost first, building what is missing.
pub(super) async fn ensure(lab: &Lab, progress: &dyn Fn(&str)) -> Result<Vec<PathBuf>> {
    let release = lab.spec.release;
    let dir = lab.root.join("images").join(format!("debian-{}", release.number()));
    let sources = sources::adapted(release);
    let files = sources::settings(&sources).await?;
    let mut packages = lab.spec.packages.clone();
    packages.sort();
    packages.dedup();

    let base = dir.join(format!("base-{}", hash(&[FORMAT, release.suite(), INCLUDED, &MASKED.join(",")])));
    let mut digest = Sha256::new();
    for (path, content) in &files {
        digest.update(format!("{}\n{}\n", path.display(), content.len()));
        digest.update(content);
    }
    let base_name = base.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let host_hash = hex(&digest.finalize());
    let top = dir.join(format!("packages-{}", hash(&[&base_name, &host_hash, &packages.join(",")])));

    if !(base.exists() && top.exists()) {
        let _lock = tools::lock(&dir, BUILD * 2).await?;
        let build = Build { release, dir: &dir, sources: &sources, files: &files };
        build.clear_remains().await?;
        if !base.exists() {
            progress(&format!("building the {release} image (once)"));
            build.base(&base).await.with_context(|| format!("cannot build the {release} image"))?;
        }
        if !top.exists() {
            progress(&format!("fetching {} packages for {release} (once)", packages.len()));
            build
                .packages(&base, &top, &packages)
                .await
                .context("cannot fetch the packages for the image")?;
            forget_unused(lab, &dir, &[&base, &top])?;
        }
    }
    Ok(vec![top, base])
}

struct Build<'a> {
    release: Release,
    dir: &'a Path,
    sources: &'a str,
    files: &'a Files,
}

impl Build<'_> {
    fn temporary(&self) -> PathBuf {
        self.dir.join("unfinished")
    }

    fn cgroup(&self) -> Result<Cgroup> {
        Cgroup::of(&format!("image-{}", hash(&[&self.dir.display().to_string()])))
    }

    /// Ends and removes what a killed build left.
    async fn clear_remains(&self) -> Result<()> {
        self.cgroup()?.kill().await?;
        mounts::unmount_below(&self.temporary()).await?;
        tools::remove(&self.temporary())
    }

    async fn base(&self, target: &Path) -> Result<()> {
        let temporary = self.temporary();
        let root = temporary.join("root");
        fs::create_dir_all(&temporary).with_context(|| format!("cannot create {}", temporary.display()))?;
        let mut args = vec![
            "--quiet".to_owned(),
            "--mode=root".to_owned(),
            "--variant=minbase".to_owned(),
            format!("--include={INCLUDED}"),
            "--format=directory".to_owned(),
        ];
        if let Some(settings) = self.files.get(Path::new("/etc/apt/apt.conf.d/90lab")) {
            let path = temporary.join("apt.conf");
            tools::write(&path, settings)?;
            args.push(format!("--aptopt={}", path.display()));
        }
        args.extend([self.release.suite().to_owned(), root.display().to_string()]);
        if !self.sources.is_empty() {
            args.push("-".to_owned());
        }
        self.contained("mmdebstrap", &args, self.sources).await?;
        strip(&root)?;
        if !self.sources.is_empty() {
            // mmdebstrap's own list would name each source a second time.
            let lists =
                fs::read_dir(root.join("etc/apt/sources.list.d")).context("the image has no sources")?;
            lists.flatten().try_for_each(|list| tools::remove(&list.path()))?;
        }
        fs::rename(&root, target).with_context(|| format!("cannot create {}", target.display()))?;
        tools::remove(&temporary)
    }

    async fn packages(&self, base: &Path, target: &Path, packages: &[String]) -> Result<()> {
        let temporary = self.temporary();
        let [upper, work, root] = ["upper", "work", "root"].map(|name| temporary.join(name));
        mounts::overlay(&[base.to_owned()], &upper, &work, &root).await?;
        for (path, content) in self.files {
            let path = root.join(path.strip_prefix("/").unwrap_or(path));
            // Debian's resolver packages make resolv.conf a link to a place outside the image.
            tools::remove(&path)?;
            tools::write(&path, content)?;
        }
        self.reuse_archives(&upper)?;
        let mut args = [
            "--quiet",
            "--register=no",
            "--keep-unit",
            "--resolv-conf=off",
            "--timezone=off",
            "--pipe",
            "/bin/sh",
            "-s",
            "--",
        ]
        .map(str::to_owned)
        .to_vec();
        args.insert(0, format!("--directory={}", root.display()));
        args.extend_from_slice(packages);
        self.contained("systemd-nspawn", &args, include_str!("packages.sh")).await?;
        mounts::unmount_below(&temporary).await?;
        fs::rename(&upper, target).with_context(|| format!("cannot create {}", target.display()))?;
        tools::remove(&temporary)
    }

    /// Archives of earlier layers become links in the new one, so that only new packages are fetched.
    fn reuse_archives(&self, upper: &Path) -> Result<()> {
        let place = Path::new("var/cache/apt/archives");
        let layers = fs::read_dir(self.dir).with_context(|| format!("cannot read {}", self.dir.display()))?;
        for layer in layers.flatten().filter(|e| e.file_name().to_string_lossy().starts_with("packages-")) {
            let Ok(archives) = fs::read_dir(layer.path().join(place)) else { continue };
            for archive in archives.flatten().filter(|e| e.path().extension().is_some_and(|x| x == "deb")) {
                fs::create_dir_all(upper.join(place)).context("cannot create the package cache")?;
                let _ = fs::hard_link(archive.path(), upper.join(place).join(archive.file_name()));
            }
        }
        Ok(())
    }

    /// Runs a program in a control group of its own: should we be killed, the next build ends it.
    async fn contained(&self, program: &str, args: &[String], input: &str) -> Result<()> {
        let cgroup = self.cgroup()?;
        let groups = cgroup.part("build")?;
        let groups = groups.iter().map(|dir| dir.display().to_string());
        let mut all = vec!["-c".to_owned(), include_str!("start.sh").to_owned(), "start.sh".to_owned()];
        all.extend(groups);
        all.extend(["--".to_owned(), program.to_owned()]);
        all.extend_from_slice(args);
        let outcome =
            tools::feed("sh", &all, input, BUILD).await.with_context(|| format!("{program} failed"));
        cgroup.kill().await?;
        super::cgroup::tidy();
        outcome.map(drop)
    }
}

/// Removes layers that no node's disk stands on and that were made more than a week ago: their sources, packages or
/// format have changed since.
fn forget_unused(lab: &Lab, dir: &Path, kept: &[&PathBuf]) -> Result<()> {
    let used = node::layers_in_use(lab);
    let old = |path: &Path| {
        let made = fs::metadata(path).and_then(|found| found.modified()).ok();
        made.and_then(|made| made.elapsed().ok()).is_some_and(|age| age > KEPT)
    };
    let layers = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    for layer in layers.flatten().map(|entry| entry.path()) {
        if !kept.contains(&&layer) && !used.contains(&layer) && old(&layer) {
            tools::remove(&layer)?;
        }
    }
    Ok(())
}

/// Takes from a fresh system what must differ from node to node, and what makes a boot slow.
fn strip(root: &Path) -> Result<()> {
    let etc = root.join("etc");
    let keys = fs::read_dir(etc.join("ssh")).context("the image has no /etc/ssh")?;
    for key in keys.flatten().filter(|e| e.file_name().to_string_lossy().starts_with("ssh_host_")) {
        tools::remove(&key.path())?;
    }
    tools::write(&etc.join("machine-id"), "")?;
    tools::remove(&root.join("var/lib/dbus/machine-id"))?;
    tools::write(&etc.join("default/locale"), "LANG=C.UTF-8\n")?;
    for unit in MASKED {
        link("/dev/null", &etc.join("systemd/system").join(unit))?;
    }
    let networkd = "/usr/lib/systemd/system/systemd-networkd.service";
    ensure!(
        root.join(&networkd[1..]).exists()
            || root.join("lib/systemd/system/systemd-networkd.service").exists(),
        "the image has no systemd-networkd"
    );
    link(networkd, &etc.join("systemd/system/multi-user.target.wants/systemd-networkd.service"))?;
    // Newer than /usr: or else the first boot of each node rebuilds the caches of the whole system.
    tools::write(&etc.join(".updated"), "")?;
    tools::write(&root.join("var/.updated"), "")
}

fn link(to: &str, at: &Path) -> Result<()> {
    if let Some(parent) = at.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    tools::remove(at)?;
    symlink(to, at).with_context(|| format!("cannot create {}", at.display()))
}

fn hash(parts: &[&str]) -> String {
    hex(&Sha256::digest(parts.join("\n"))[..6])
}
