//! The scripts that run in Redis. Each one is atomic and touches keys of one slot of a cluster.
//!
//! The head of a conversation is a hash with the fields of `Head`; `fence` in it is the last fencing token. Turns are a list,
//! oldest first, and `sizes` is a list of `messages:tokens:bytes:turn id` in the same order.

pub(super) use crate::redis::script::call;

/// Keys: head. Arguments: origin, used at, milliseconds to expiry. Creates a conversation.
pub(super) const CREATE: &str = "
redis.call('HSET', KEYS[1], 'origin', ARGV[1], 'used_at', ARGV[2], 'first', 0, 'next', 0,
    'messages', 0, 'tokens', 0, 'bytes', 0, 'title', '', 'fence', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1";

/// Keys: head, lease, ids, turns, sizes. Arguments: milliseconds, turn id, holder, the most messages, tokens and bytes. Takes the lease;
/// asked again by the same holder, it grants the same lease. The first value returned is 0 if there is no conversation, 1 if the lease
/// is held, 2 if the turn is stored already, else 3, followed by the fencing token, the head and the newest turns within the bounds.
pub(super) const TAKE: &str = "
if redis.call('EXISTS', KEYS[1]) == 0 then return {0} end
if redis.call('HEXISTS', KEYS[3], ARGV[2]) == 1 then return {2} end
local fence = redis.call('GET', KEYS[2])
if fence and redis.call('HGET', KEYS[1], 'holder') ~= ARGV[3] then return {1} end
if not fence then
    fence = redis.call('HINCRBY', KEYS[1], 'fence', 1)
    redis.call('HSET', KEYS[1], 'holder', ARGV[3])
    redis.call('SET', KEYS[2], fence, 'PX', ARGV[1])
end
local length, turns = redis.call('LLEN', KEYS[5]), 0
local messages, tokens, bytes = 0, 0, 0
local within = true
while within and turns < length do
    local block = redis.call('LRANGE', KEYS[5], math.max(length - turns - 100, 0), length - turns - 1)
    for at = #block, 1, -1 do
        local m, t, b = string.match(block[at], '^(%d+):(%d+):(%d+):')
        messages, tokens, bytes = messages + m, tokens + t, bytes + b
        within = messages <= tonumber(ARGV[4]) and tokens <= tonumber(ARGV[5]) and bytes <= tonumber(ARGV[6])
        if not within then break end
        turns = turns + 1
    end
end
return {3, fence,
    redis.call('HMGET', KEYS[1], 'origin', 'used_at', 'first', 'next', 'messages', 'tokens', 'bytes', 'title'),
    turns > 0 and redis.call('LRANGE', KEYS[4], -turns, -1) or {}}";

/// Keys: head, turns. Arguments: number of the first turn, count. The number of the first turn returned, and turns.
pub(super) const TURNS: &str = "
local first = redis.call('HGET', KEYS[1], 'first')
if not first then return {0, {}} end
local start = math.max(tonumber(ARGV[1]) - tonumber(first), 0)
return {tonumber(first) + start, redis.call('LRANGE', KEYS[2], start, start + ARGV[2] - 1)}";

/// Keys: lease. Arguments: fencing token, milliseconds. Extends the lease; 0 if it is lost.
pub(super) const RENEW: &str = "
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0";

/// Keys: lease, head. Arguments: holder. Ends a lease whose fencing token the holder has not learned.
pub(super) const RELEASE_HOLDER: &str = "
if redis.call('HGET', KEYS[2], 'holder') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0";

/// Keys: lease. Arguments: fencing token. Ends the lease.
pub(super) const RELEASE: &str = "
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0";

/// Keys: head, lease, ids, turns, sizes. Arguments: fencing token, turn id, turn, messages, tokens, bytes, used at, title,
/// milliseconds to expiry, the most messages, tokens and bytes. Stores a turn once and ends the lease. The first value returned is 1 if
/// the turn is stored, now or by an earlier try; 0 if the lease is lost; 2 if there is no conversation. The second value is the bytes of the
/// conversation.
pub(super) const APPEND: &str = "
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('DEL', KEYS[2]) return {2, 0} end
local function size() return redis.call('HSTRLEN', KEYS[1], 'origin') + redis.call('HGET', KEYS[1], 'bytes') end
if redis.call('HEXISTS', KEYS[3], ARGV[2]) == 1 then return {1, size()} end
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return {0, 0} end
redis.call('DEL', KEYS[2])
redis.call('RPUSH', KEYS[4], ARGV[3])
redis.call('RPUSH', KEYS[5], ARGV[4] .. ':' .. ARGV[5] .. ':' .. ARGV[6] .. ':' .. ARGV[2])
redis.call('HSET', KEYS[3], ARGV[2], 1)
redis.call('HINCRBY', KEYS[1], 'next', 1)
redis.call('HSET', KEYS[1], 'used_at', ARGV[7])
if redis.call('HGET', KEYS[1], 'title') == '' then redis.call('HSET', KEYS[1], 'title', ARGV[8]) end
local messages = redis.call('HINCRBY', KEYS[1], 'messages', ARGV[4])
local tokens = redis.call('HINCRBY', KEYS[1], 'tokens', ARGV[5])
local bytes = redis.call('HINCRBY', KEYS[1], 'bytes', ARGV[6])
local function over()
    return messages > tonumber(ARGV[10]) or tokens > tonumber(ARGV[11]) or bytes > tonumber(ARGV[12])
end
local length, removed = redis.call('LLEN', KEYS[4]), 0
while over() and removed < length - 1 do
    local ids = {}
    for _, oldest in ipairs(redis.call('LRANGE', KEYS[5], removed, math.min(removed + 99, length - 2))) do
        local m, t, b, id = string.match(oldest, '^(%d+):(%d+):(%d+):(.*)$')
        messages, tokens, bytes = messages - m, tokens - t, bytes - b
        ids[#ids + 1] = id
        if not over() then break end
    end
    removed = removed + #ids
    redis.call('HDEL', KEYS[3], unpack(ids))
end
if removed > 0 then
    redis.call('LTRIM', KEYS[4], removed, -1)
    redis.call('LTRIM', KEYS[5], removed, -1)
    redis.call('HINCRBY', KEYS[1], 'first', removed)
    redis.call('HSET', KEYS[1], 'messages', messages, 'tokens', tokens, 'bytes', bytes)
end
for at = 1, 5 do
    if at ~= 2 then redis.call('PEXPIRE', KEYS[at], ARGV[9]) end
end
return {1, size()}";

/// Keys: expiry, sizes, total, used. Arguments: what is done, now, id, fencing token, bytes, expiry, milliseconds to expiry, used at, the
/// most conversations and bytes.
///
/// The account of an owner: the expiry and the size of each conversation, the sum of the sizes, and the list of those with a turn. A size
/// is stored as `fencing token:bytes`, and a lower token does not replace a higher one. What is done is one of
/// - `create` counts a new conversation. 1 if there are too many, 2 if there is no room, else 0
/// - `reserve` counts a turn before it is stored. 2 if there is no room, else 0
/// - `settle` corrects the size after a turn is stored
/// - `forget` counts a conversation out
///
/// Conversations that have expired are counted out first, some at a time.
pub(super) const ACCOUNT: &str = "
local what, id, fence, bytes = ARGV[1], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local function size_of(id)
    local size = redis.call('HGET', KEYS[2], id)
    if not size then return 0, 0 end
    local fence, bytes = string.match(size, '^(%d+):(%d+)$')
    return tonumber(fence), tonumber(bytes)
end
local function forget(id)
    local _, bytes = size_of(id)
    redis.call('ZREM', KEYS[1], id)
    redis.call('HDEL', KEYS[2], id)
    redis.call('DECRBY', KEYS[3], bytes)
    redis.call('ZREM', KEYS[4], id)
end
for _, expired in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', 0, 100)) do
    forget(expired)
end
if what == 'forget' then forget(id) return 0 end
local known = redis.call('ZSCORE', KEYS[1], id)
if what == 'settle' and not known then return 0 end
if what == 'create' and not known and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[9]) then return 1 end
local last, before = size_of(id)
if fence < last then return 0 end
local total = (redis.call('GET', KEYS[3]) or 0) - before + bytes
if what ~= 'settle' and bytes > before and total > tonumber(ARGV[10]) then return 2 end
redis.call('ZADD', KEYS[1], ARGV[6], id)
redis.call('HSET', KEYS[2], id, ARGV[4] .. ':' .. ARGV[5])
redis.call('INCRBY', KEYS[3], bytes - before)
if what == 'reserve' then redis.call('ZADD', KEYS[4], 'NX', ARGV[8], id) end
if what == 'settle' then redis.call('ZADD', KEYS[4], ARGV[8], id) end
for at = 1, 4 do
    if redis.call('PTTL', KEYS[at]) < tonumber(ARGV[7]) then redis.call('PEXPIRE', KEYS[at], ARGV[7]) end
end
return 0";
