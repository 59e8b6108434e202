//! Whom the nodes of a cluster trust, while it has one authority and while one takes the place of another. Pure.

/// The authorities of a cluster, as its nodes are to see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// Text of every `ca.crt`: whom a service verifies its peers with.
    pub bundle: String,
    /// Who may have issued a certificate that is left as it is; PEM each.
    pub issuers: Vec<String>,
    /// Marks this cluster's data. It stays the same when the authority changes.
    pub mark: String,
    /// A certificate may be made anew only because its service reads other authorities together with one: what issues it
    /// is trusted everywhere.
    pub refreshes: bool,
    /// Nothing verifies any more, whatever the order: all nodes change at once, and no gate can hold before they have.
    pub severed: bool,
}

/// The steps from one authority to the next. Each is made on all nodes and verified before the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Handover {
    /// Every node trusts both; the old one issues.
    Trust,
    /// Every certificate is issued by the new one.
    Reissue,
    /// Every node trusts the new one alone.
    Drop,
    /// Nothing of the old one is left.
    Done,
}

impl Trust {
    /// One authority, by its certificate.
    pub fn settled(authority: &str, mark: &str) -> Self {
        Self {
            bundle: authority.into(),
            issuers: vec![authority.into()],
            mark: mark.into(),
            refreshes: true,
            severed: false,
        }
    }

    /// Both are trusted, and both may have issued what is there.
    pub fn both(old: &str, new: &str, mark: &str) -> Self {
        Self { bundle: bundle(old, new), issuers: vec![old.into(), new.into()], ..Self::settled(old, mark) }
    }

    /// Both, before every node trusts the new one, where the old one issues no more.
    pub fn announced(old: &str, new: &str, mark: &str) -> Self {
        Self { refreshes: false, ..Self::both(old, new, mark) }
    }

    /// The new one alone, after the old one has expired.
    pub fn replaced(new: &str, mark: &str) -> Self {
        Self { severed: true, ..Self::settled(new, mark) }
    }

    /// What a step of the hand-over wants.
    pub fn of(step: Handover, old: &str, new: &str, mark: &str) -> Self {
        match step {
            Handover::Trust => Self::both(old, new, mark),
            Handover::Reissue => Self { issuers: vec![new.into()], ..Self::both(old, new, mark) },
            Handover::Drop | Handover::Done => Self::settled(new, mark),
        }
    }
}

/// Two authorities in one file, always in the same order.
pub fn bundle(old: &str, new: &str) -> String {
    format!("{}\n{}\n", old.trim_end(), new.trim_end())
}

impl Handover {
    /// What the step does, as a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Trust => "Step 1 of 3: every node trusts the old and the new authority",
            Self::Reissue => "Step 2 of 3: every certificate is issued by the new authority",
            Self::Drop => "Step 3 of 3: nobody trusts the old authority any more",
            Self::Done => "The new authority has taken the place of the old one",
        }
    }
}
