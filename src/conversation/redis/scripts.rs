//! The scripts that run in Redis. Each one is atomic and touches the keys of one conversation, which are in one slot of a cluster.
//!
//! The head of a conversation is a hash with the fields of `Head`; `fence` in it is the last fencing token. Turns are a list,
//! oldest first, and `sizes` is a list of `messages:tokens:bytes:turn id` in the same order.

/// Keys: head. Arguments: origin, used at, milliseconds to expiry. Creates a conversation.
pub(super) const CREATE: &str = "
redis.call('HSET', KEYS[1], 'origin', ARGV[1], 'used_at', ARGV[2], 'first', 0, 'next', 0,
    'messages', 0, 'tokens', 0, 'bytes', 0, 'title', '', 'fence', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1";

/// Keys: head, lease, ids, turns. Arguments: milliseconds, turn id, holder. Takes the lease; asked again by the same holder, it grants the
/// same lease. The first value returned is 0 if there is no conversation, 1 if the lease is held, 2 if the turn is stored already, else
/// 3, followed by the fencing token, the head and the turns.
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
return {3, fence,
    redis.call('HMGET', KEYS[1], 'origin', 'used_at', 'first', 'next', 'messages', 'tokens', 'bytes', 'title'),
    redis.call('LRANGE', KEYS[4], 0, -1)}";

/// Keys: lease. Arguments: fencing token, milliseconds. Extends the lease; 0 if it is lost.
pub(super) const RENEW: &str = "
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0";

/// Keys: head, lease. Arguments: holder. Ends a lease whose fencing token the holder has not learned.
pub(super) const RELEASE_HOLDER: &str = "
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then return redis.call('DEL', KEYS[2]) end
return 0";

/// Keys: lease. Arguments: fencing token. Ends the lease.
pub(super) const RELEASE: &str = "
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0";

/// Keys: head, lease, ids, turns, sizes. Arguments: fencing token, turn id, turn, messages, tokens, bytes, used at, title,
/// milliseconds to expiry, the most messages, tokens and bytes. Stores a turn once and ends the lease. 1 if the turn is stored, now or
/// by an earlier try; 0 if the lease is lost; 2 if there is no conversation.
pub(super) const APPEND: &str = "
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('DEL', KEYS[2]) return 2 end
if redis.call('HEXISTS', KEYS[3], ARGV[2]) == 1 then return 1 end
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
local sums = {'messages', 'tokens', 'bytes'}
redis.call('RPUSH', KEYS[4], ARGV[3])
redis.call('RPUSH', KEYS[5], ARGV[4] .. ':' .. ARGV[5] .. ':' .. ARGV[6] .. ':' .. ARGV[2])
redis.call('HSET', KEYS[3], ARGV[2], 1)
redis.call('HINCRBY', KEYS[1], 'next', 1)
redis.call('HSET', KEYS[1], 'used_at', ARGV[7])
if redis.call('HGET', KEYS[1], 'title') == '' then redis.call('HSET', KEYS[1], 'title', ARGV[8]) end
local over = false
for at = 1, 3 do
    if redis.call('HINCRBY', KEYS[1], sums[at], ARGV[3 + at]) > tonumber(ARGV[9 + at]) then over = true end
end
while over and redis.call('LLEN', KEYS[4]) > 1 do
    redis.call('LPOP', KEYS[4])
    local m, t, b, id = string.match(redis.call('LPOP', KEYS[5]), '^(%d+):(%d+):(%d+):(.*)$')
    redis.call('HDEL', KEYS[3], id)
    redis.call('HINCRBY', KEYS[1], 'first', 1)
    local sizes = {m, t, b}
    over = false
    for at = 1, 3 do
        if redis.call('HINCRBY', KEYS[1], sums[at], '-' .. sizes[at]) > tonumber(ARGV[9 + at]) then over = true end
    end
end
for at = 1, 5 do
    if at ~= 2 then redis.call('PEXPIRE', KEYS[at], ARGV[9]) end
end
return 1";
