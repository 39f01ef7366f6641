import RedisClient

/// The steps on quota keys that must be atomic, as scripts.
///
/// Two forms lie in Redis, both as the reference keeps them (shared reference `async-processor.md` 4.2):
///
/// - rate limit: a sorted set with the granted requests of the last window, scored by nanoseconds since 1970. Ours are
///   entered under their owners' names, the reference's under their times.
/// - concurrency: a number, how many requests are in flight. The number alone cannot tell whose they are, so ours also
///   stand in a sorted set beside it, scored by the millisecond at which they are believed to be dead. What the number
///   says beyond those belongs to others (`foreign`). The reference forgets all of its slots when none of its processors
///   acquired or released one for a window, because that is when the key expires. We must prolong the key for our own
///   slots, so we keep that time ourselves, under the name `#foreign` in the set: whoever finds the key with less time
///   to live than we gave it knows that someone else set it.
enum QuotaScripts {
    /// Finds out how many slots are held, and forgets the dead ones. `KEYS`: number, set. `ARGV[1]`: a slot's life in ms.
    private static let settle = """
        local life = tonumber(ARGV[1])
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        local seen = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
        local ttl = redis.call('PTTL', KEYS[1])
        local fence = tonumber(redis.call('ZSCORE', KEYS[2], '#foreign') or '0')
        redis.call('ZREM', KEYS[2], '#foreign')
        local foreign = math.max(0, seen - redis.call('ZCARD', KEYS[2]))
        if foreign > 0 then
            if fence == 0 or ttl == -1 then
                fence = now + life
            elseif ttl > 0 and ttl <= life then
                fence = math.max(fence, now + ttl)
            end
            if fence <= now then foreign = 0 end
        end
        redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
        local held = redis.call('ZCARD', KEYS[2])
        local function hold(owner)
            held = held + redis.call('ZADD', KEYS[2], string.format('%.0f', now + life), owner)
        end
        local function store()
            if held + foreign == 0 then
                redis.call('DEL', KEYS[1], KEYS[2])
                return
            end
            redis.call('SET', KEYS[1], held + foreign, 'PX', 3 * life)
            if foreign > 0 then redis.call('ZADD', KEYS[2], string.format('%.0f', fence), '#foreign') end
            redis.call('PEXPIRE', KEYS[2], 3 * life)
        end

        """

    /// `ARGV`: life, limit, owner. Returns 1 if the owner now holds a slot.
    static let acquireSlot = RedisScript(
        settle + """
            local granted = 0
            if held + foreign < tonumber(ARGV[2]) or redis.call('ZSCORE', KEYS[2], ARGV[3]) then
                hold(ARGV[3])
                granted = 1
            end
            store()
            return granted
            """)

    /// `ARGV`: life, owners. They hold slots, whatever the limit says: their requests are under way.
    static let renewSlots = RedisScript(
        settle + """
            for index = 2, #ARGV do hold(ARGV[index]) end
            store()
            return held
            """)

    /// `ARGV`: life, owners. Those who hold no slot change nothing.
    static let returnSlots = RedisScript(
        settle + """
            for index = 2, #ARGV do held = held - redis.call('ZREM', KEYS[2], ARGV[index]) end
            store()
            return held
            """)

    /// `KEYS`: set. `ARGV`: window in ms, limit, owner. Returns 1 if granted. The server's clock counts, so that those of
    /// the processors do not have to agree.
    static let acquireToken = RedisScript(
        """
        local time = redis.call('TIME')
        local now = time[1] * 1000000000 + time[2] * 1000
        local window = tonumber(ARGV[1])
        redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, string.format('%.0f', now - window * 1000000))
        if redis.call('ZSCORE', KEYS[1], ARGV[3]) then return 1 end
        if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
        redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[3])
        redis.call('PEXPIRE', KEYS[1], 2 * window)
        return 1
        """)

    /// `KEYS`: set. `ARGV`: window, owners.
    static let returnTokens = RedisScript("return redis.call('ZREM', KEYS[1], unpack(ARGV, 2))")

    /// The set beside a number. In a cluster it lies on the same server: the key is the part that decides where.
    static func slots(of key: String) -> String { key.contains("{") ? key + ":slots" : "{" + key + "}:slots" }
}
