//! Tests of credentials against callers that a reload changes.

use std::time::Duration;

use super::*;
use crate::{
    admission::LimitSettings,
    identity::{
        key::NewKey,
        settings::{CallerSettings, KeySettings},
    },
    quota::settings::QuotaSettings,
    request::Rules,
};

fn settings_of(key: &NewKey) -> KeySettings {
    let mut sha256 = [0; 32];
    for (byte, digits) in sha256.iter_mut().zip(key.sha256().as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
    }
    KeySettings { id: key.id().to_owned(), sha256, expires_at: None, disabled: false }
}

fn caller(name: &str, keys: Vec<KeySettings>) -> CallerSettings {
    CallerSettings { name: name.to_owned(), tenant: name.to_owned(), keys, ..CallerSettings::default() }
}

fn settings(callers: Vec<CallerSettings>) -> IdentitySettings {
    IdentitySettings { callers, ..IdentitySettings::default() }
}

fn directory(settings: &IdentitySettings) -> Directory {
    Directory::new(settings, Arc::default()).unwrap()
}

fn replace(directory: &Directory, settings: &IdentitySettings) {
    directory.replace(settings, Arc::default()).unwrap();
}

fn proved(directory: &Directory, key: &str, now: SystemTime) -> Result<String, Refusal> {
    let key = PresentedKey::parse(key).unwrap();
    directory.by_key(&key, now).map(|identity| identity.caller().to_owned())
}

#[test]
fn only_the_whole_key_proves_its_caller_and_its_state_is_told_only_to_whom_has_it() {
    let now = SystemTime::now();
    let (good, expired, disabled, unknown) = (
        NewKey::generate().unwrap(),
        NewKey::generate().unwrap(),
        NewKey::generate().unwrap(),
        NewKey::generate().unwrap(),
    );
    let expired_settings = KeySettings { expires_at: Some(now), ..settings_of(&expired) };
    let disabled_settings = KeySettings { disabled: true, ..settings_of(&disabled) };
    let directory = directory(&settings(vec![
        caller("ada", vec![settings_of(&good), expired_settings]),
        caller("bob", vec![disabled_settings]),
    ]));
    assert_eq!(proved(&directory, good.text(), now), Ok("ada".to_owned()));
    assert_eq!(proved(&directory, expired.text(), now - Duration::from_secs(1)), Ok("ada".to_owned()));
    assert_eq!(proved(&directory, expired.text(), now), Err(Refusal::Expired));
    assert_eq!(proved(&directory, disabled.text(), now), Err(Refusal::Revoked));
    assert_eq!(proved(&directory, unknown.text(), now), Err(Refusal::Invalid));
    for key in [&good, &expired, &disabled] {
        let with_another_secret = unknown.text().replace(unknown.id(), key.id());
        assert_eq!(proved(&directory, &with_another_secret, now), Err(Refusal::Invalid));
    }
}

#[test]
fn a_reload_revokes_what_it_removes_and_nothing_else() {
    let now = SystemTime::now();
    let keys: Vec<_> = (0..4).map(|_| NewKey::generate().unwrap()).collect();
    let of = |numbers: &[usize]| numbers.iter().map(|at| settings_of(&keys[*at])).collect::<Vec<_>>();
    let uri: Arc<str> = "spiffe://acme/ada".into();
    let with_certificate = |caller: CallerSettings| CallerSettings { certificates: vec![uri.to_string()], ..caller };
    let directory = directory(&settings(vec![
        with_certificate(caller("ada", of(&[0, 1]))),
        caller("bob", of(&[2])),
        caller("eve", of(&[3])),
    ]));
    let identities: Vec<_> = keys
        .iter()
        .map(|key| directory.by_key(&PresentedKey::parse(key.text()).unwrap(), now).unwrap())
        .chain([directory.by_certificate(&uri).unwrap()])
        .collect();
    let revoked = |directory: &Directory| identities.iter().map(|one| directory.has_revoked(one)).collect::<Vec<_>>();
    assert_eq!(revoked(&directory), [false; 5]);
    // A key that expires, another that is disabled, a caller that is removed.
    let expired = KeySettings { expires_at: Some(now), ..settings_of(&keys[0]) };
    let disabled = KeySettings { disabled: true, ..settings_of(&keys[2]) };
    replace(
        &directory,
        &settings(vec![
            with_certificate(caller("ada", vec![expired, settings_of(&keys[1])])),
            caller("bob", vec![disabled]),
        ]),
    );
    assert_eq!(revoked(&directory), [false, false, true, true, false]);
    // A key moves to another caller, so that its old identity is no longer proved.
    replace(&directory, &settings(vec![caller("ada", of(&[0])), caller("bob", of(&[1, 2]))]));
    assert_eq!(revoked(&directory), [false, true, false, true, true]);
}

#[test]
fn a_key_with_another_secret_under_the_same_id_is_another_key() {
    let (old, new) = (NewKey::generate().unwrap(), NewKey::generate().unwrap());
    let directory = directory(&settings(vec![caller("ada", vec![settings_of(&old)])]));
    let identity = directory.by_key(&PresentedKey::parse(old.text()).unwrap(), SystemTime::now()).unwrap();
    let replaced = KeySettings { id: old.id().to_owned(), ..settings_of(&new) };
    let changes = directory.replace(&settings(vec![caller("ada", vec![replaced])]), Arc::default()).unwrap();
    assert!(directory.has_revoked(&identity));
    let id = vec![old.id().to_owned()];
    assert_eq!(changes, KeyChanges { added: id.clone(), removed: id, disabled: Vec::new() });
}

#[test]
fn a_server_whose_first_caller_is_added_revokes_all_clients_without_identity() {
    let directory = directory(&IdentitySettings::default());
    let anonymous = Identity::anonymous();
    assert!(directory.is_open() && !directory.has_revoked(&anonymous));
    replace(&directory, &settings(vec![caller("ada", Vec::new())]));
    assert!(!directory.is_open() && directory.has_revoked(&anonymous));
}

#[test]
fn a_key_that_the_server_issues_is_its_callers_until_the_caller_is_removed() {
    let now = SystemTime::now();
    let (ada, bob) = (|| caller("ada", Vec::new()), || caller("bob", Vec::new()));
    let directory = directory(&settings(vec![ada(), bob()]));
    let issued = directory.issue_key("ada").unwrap().unwrap();
    assert!(directory.issue_key("eve").unwrap().is_none());
    assert_eq!(proved(&directory, issued.text(), now), Ok("ada".to_owned()));
    let with_another_secret = NewKey::generate().unwrap();
    let with_another_secret = with_another_secret.text().replace(with_another_secret.id(), issued.id());
    assert_eq!(proved(&directory, &with_another_secret, now), Err(Refusal::Invalid));
    let identity = directory.by_key(&PresentedKey::parse(issued.text()).unwrap(), now).unwrap();
    assert_eq!(identity.credential().id(), issued.id());
    replace(&directory, &settings(vec![ada()]));
    assert_eq!(
        (proved(&directory, issued.text(), now), directory.has_revoked(&identity)),
        (Ok("ada".to_owned()), false)
    );
    replace(&directory, &settings(vec![bob()]));
    assert_eq!(
        (proved(&directory, issued.text(), now), directory.has_revoked(&identity)),
        (Err(Refusal::Invalid), true)
    );
    replace(&directory, &settings(vec![ada()]));
    assert_eq!(proved(&directory, issued.text(), now), Err(Refusal::Invalid), "a caller of the same name has new keys");
    let another = self::directory(&settings(vec![ada()]));
    assert_eq!(proved(&another, issued.text(), now), Err(Refusal::Invalid), "another process does not know it");
}

#[test]
fn a_call_keeps_the_models_and_limits_of_the_callers_that_identified_it() {
    let (now, key) = (SystemTime::now(), NewKey::generate().unwrap());
    let identified = |directory: &Directory| directory.by_key(&PresentedKey::parse(key.text()).unwrap(), now).unwrap();
    let of = |streams| LimitSettings { streams, ..LimitSettings::default() };
    let queue = |queue_length| QuotaSettings { queue_length, ..QuotaSettings::default() };
    let first = InForce::new(&Rules::default(), &of(1), &queue(3));
    let callers = settings(vec![caller("ada", vec![settings_of(&key)])]);
    let directory = Directory::new(&callers, Arc::clone(&first)).unwrap();
    let old = identified(&directory);
    let rules = Rules { default_model: Some("a.b".to_owned()), ..Rules::default() };
    let next = directory.in_force().next(&rules, &of(2), &queue(4));
    directory.replace(&callers, next).unwrap();
    let told = |identity: &Identity| {
        let InForce { rules, limits, quotas } = &**identity.in_force();
        (rules.default_model.clone(), limits.settings.streams, limits.generation, quotas.queue_length)
    };
    assert_eq!(told(&old), (None, 1, 1, 3));
    assert_eq!(told(&identified(&directory)), (Some("a.b".to_owned()), 2, 2, 4));
    assert_eq!(told(&directory.without_credentials(None, true).unwrap()), told(&identified(&directory)));
    assert!(directory.without_credentials(None, false).is_none());
}
