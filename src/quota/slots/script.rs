//! The scripts that run in Redis. The sequential specification of the first is `specification`, and a test compares the two.
//!
//! A resource is a hash with the fields of the ledger, and one field for each server: `s<id>` = `sequence held expires wanted spent`.
//! Numbers are written with `%.0f`, because Lua writes large ones with an exponent.

use super::table::{CONFIRMING, LEASE, LEAST, PRIME, REMEMBERED, TURN, millis};

/// How the scripts read the clock of Redis.
#[cfg(test)]
pub(super) const CLOCK: &str = "redis.call('TIME')";

/// The number of arguments for each key of [`renew`].
pub(super) const ARGUMENTS: usize = 10;

/// Renews shares. Keys: resources. Arguments: the id of the server; then for each key its sequence, capacity, held, in use, wanted,
/// spent, confirmed, born, milliseconds to keep the key, and whether it leaves. For each key it returns what is granted, servers, spent,
/// born and time; or nothing if the key holds something else.
pub(super) fn renew() -> String {
    let constants = format!(
        "local LEASE, CONFIRMING, REMEMBERED, LEAST, ARGUMENTS, PRIME, TURN = {}, {}, {}, {LEAST}, {ARGUMENTS}, {PRIME}, {TURN}\n",
        millis(LEASE),
        millis(CONFIRMING),
        millis(REMEMBERED),
    );
    constants + RENEW
}

const RENEW: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local own = 's' .. ARGV[1]

local function text(...)
    local texts = {}
    for at = 1, select('#', ...) do texts[at] = string.format('%.0f', (select(at, ...))) end
    return table.concat(texts, ' ')
end

local function read(key)
    local fields = redis.pcall('HGETALL', key)
    if fields.err then return nil end
    local ledger, rows = {born = 0, since = 0, spent = 0}, {}
    for at = 1, #fields, 2 do
        local name, value = fields[at], fields[at + 1]
        if string.match(name, '^s%d+$') then
            local sequence, held, expires, wanted, spent = string.match(value, '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
            if not spent then return nil end
            rows[name] = {sequence = tonumber(sequence), held = tonumber(held), expires = tonumber(expires),
                wanted = tonumber(wanted), spent = tonumber(spent)}
        elseif ledger[name] and string.match(value, '^%d+$') then
            ledger[name] = tonumber(value)
        else
            return nil
        end
    end
    return ledger, rows
end

local function prepare(key, ledger, rows)
    if ledger.born == 0 then ledger.born, ledger.since = now, now end
    if ledger.since > now then
        ledger.since = now
        redis.call('HSET', key, 'since', text(now))
    end
    for name, row in pairs(rows) do
        if row.expires > now + LEASE then
            row.expires = now + LEASE
            redis.call('HSET', key, name, text(row.sequence, row.held, row.expires, row.wanted, row.spent))
        elseif now >= row.expires + REMEMBERED then
            rows[name] = nil
            redis.call('HDEL', key, name)
        end
    end
end

local function is_quiet(rows)
    local all_left = next(rows) ~= nil
    for _, row in pairs(rows) do
        if row.expires > now then return false end
        if row.held > 0 then all_left = false end
    end
    return not all_left
end

local function order(id)
    local turn = math.floor(now / LEASE) % PRIME * TURN % PRIME + 1
    return id % PRIME * turn % PRIME
end

local function fair_share(rows, total)
    local servers = {}
    for name, row in pairs(rows) do
        if row.expires > now then
            local id = tonumber(string.sub(name, 2))
            servers[#servers + 1] = {name = name, id = id, demand = row.wanted, order = order(id)}
        end
    end
    local count, left = #servers, total
    local least = math.floor(total / (LEAST * count))
    for _, server in ipairs(servers) do server.demand = math.max(server.demand, least) end
    table.sort(servers, function(a, b)
        if a.demand ~= b.demand then return a.demand < b.demand end
        if a.order ~= b.order then return a.order < b.order end
        return a.id < b.id
    end)
    for at, server in ipairs(servers) do
        server.share = math.min(server.demand, math.floor(left / (count - at + 1)))
        left = left - server.share
    end
    for at, server in ipairs(servers) do
        local more = math.floor(left / (count - at + 1))
        left = left - more
        if server.name == own then return server.share + more end
    end
end

local function renew(key, argument)
    local sequence, capacity, said, in_use, wanted = argument(1), argument(2), argument(3), argument(4), argument(5)
    local ledger, rows = read(key)
    if not ledger then return {} end
    prepare(key, ledger, rows)
    local known = rows[own]
    local function reply(held)
        local servers = 0
        for _, row in pairs(rows) do
            if row.expires > now then servers = servers + 1 end
        end
        return {held, servers, ledger.spent, ledger.born, now}
    end
    if known and sequence <= known.sequence then
        return reply(known.expires > now and known.held or 0)
    end
    if is_quiet(rows) then ledger.since = now end
    local counted = known and known.spent or argument(8) == ledger.born and argument(7) or 0
    local spent = math.max(argument(6) - counted, 0)
    ledger.spent = ledger.spent + spent
    local others = 0
    for name, row in pairs(rows) do
        if name ~= own and row.expires > now then others = others + row.held end
    end
    local total = math.max(capacity - ledger.spent, 0)
    local room = math.max(total - others, 0)
    local before = known and known.expires > now and math.max(known.held - spent, 0) or 0
    local held = math.min(said, math.max(before, room))
    local row = {sequence = sequence, held = held, expires = now + LEASE,
        wanted = math.min(math.max(wanted, in_use), capacity), spent = math.max(argument(6), known and known.spent or 0)}
    rows[own] = row
    local granted = 0
    if argument(10) == 1 then
        row.held, row.expires = 0, now
    else
        local fair = math.max(fair_share(rows, total), math.min(in_use, held))
        granted = held
        if fair <= held or now - ledger.since >= CONFIRMING then granted = math.min(fair, math.max(held, room)) end
        row.held = math.max(held, granted)
    end
    redis.call('HSET', key, 'born', text(ledger.born), 'since', text(ledger.since), 'spent', text(ledger.spent),
        own, text(row.sequence, row.held, row.expires, row.wanted, row.spent))
    if redis.call('PTTL', key) < argument(9) - LEASE then redis.call('PEXPIRE', key, text(argument(9))) end
    return reply(granted)
end

local replies = {}
for at, key in ipairs(KEYS) do
    local first = 1 + (at - 1) * ARGUMENTS
    replies[at] = renew(key, function(number) return tonumber(ARGV[first + number]) end)
end
return replies";

/// Shares open circuit breakers. Keys: ejections. Arguments: target and milliseconds, for each of them. Returns target and milliseconds
/// of all that are known, or 0 if the key holds something else.
pub(super) const EJECT: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.pcall('HGETALL', KEYS[1]).err then return {0} end
for at = 1, #ARGV, 2 do
    local ends = now + tonumber(ARGV[at + 1])
    local known = tonumber(redis.call('HGET', KEYS[1], ARGV[at]) or 0) or 0
    if ends > known then redis.call('HSET', KEYS[1], ARGV[at], string.format('%.0f', ends)) end
end
local fields, ejections, longest = redis.call('HGETALL', KEYS[1]), {}, 0
for at = 1, #fields, 2 do
    local remaining = (tonumber(fields[at + 1]) or 0) - now
    if remaining > 0 then
        ejections[#ejections + 1] = fields[at]
        ejections[#ejections + 1] = remaining
        longest = math.max(longest, remaining)
    else
        redis.call('HDEL', KEYS[1], fields[at])
    end
end
if longest > 0 then redis.call('PEXPIRE', KEYS[1], string.format('%.0f', longest)) end
return ejections";
