//! What a cluster under test is asked to be: its nodes, their addresses, who may come in.

/// What a cluster is asked to be.
pub struct Shape {
    /// Of the inventory and of the lab.
    pub name: String,
    /// First three numbers of every address.
    pub subnet: String,
    /// Debian of the machines.
    pub debian: u8,
    /// Name, kinds as YAML, last number of the address.
    pub nodes: &'static [(&'static str, &'static str, u8)],
    /// Lines of `access`.
    pub access: String,
    /// Who logs in; made on every machine, with sudo, where it is not root.
    pub user: &'static str,
    /// Last number of a virtual address.
    pub virtual_ip: Option<u8>,
}

impl Shape {
    /// With another name and other addresses where `SUITE_SHIFT` asks for it, so that two suites can run side by side.
    pub fn shifted(mut self) -> Self {
        let Some(shift) = std::env::var("SUITE_SHIFT").ok().and_then(|shift| shift.parse::<u8>().ok()) else {
            return self;
        };
        let network =
            self.subnet.split('.').nth(1).and_then(|second| second.parse::<u8>().ok()).unwrap_or_default();
        let shifted = format!("10.{}.0", network.saturating_add(shift));
        self.access = self.access.replace(&self.subnet, &shifted);
        self.name = format!("{}-{shift}", self.name);
        self.subnet = shifted;
        self
    }
}
