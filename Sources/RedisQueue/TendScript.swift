import RedisClient

/// What every replica does for the queue by the passing of time.
enum TendScript {
    /// Gives claims of the dead back to the queue, and retries whose time has come.
    ///
    /// KEYS: pending, claimed, owners, claims, retry. ARGV: the queue's name as envelopes have it, most moves of each kind,
    /// bytes to look at, 1 if retries that name no queue, or that nobody can read, are this queue's, the cursor before which
    /// due retries are known to be other queues'.
    ///
    /// Returns the claims and retries moved, how long in seconds until there may be more to do (empty: nothing is known), the
    /// cursor, and how many due retries before it are other queues'. A claim of ours names its score; for one of
    /// llm-d-async's, and for a retry, it follows from the envelope.
    static let tend = RedisScript(
        RetryWalk.source + #"""
            local now = server_time()
            local limit, budget = tonumber(ARGV[2]), tonumber(ARGV[3])
            local until_now = string.format('%.6f', now)
            local reclaimed, moved = 0, 0
            local expired = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', until_now, 'LIMIT', 0, limit)
            for _, key in ipairs(expired) do
              if budget <= 0 then break end
              local member = redis.call('HGET', KEYS[2], key)
              if member then
                local owner = redis.call('HGET', KEYS[3], key) or ''
                local score = string.match(owner, '^%x+:%d+:(.+)$')
                if not score then
                  local envelope, decoded = identity(member, 1e9)
                  budget = budget - decoded
                  score = queue_score(envelope) or '0'
                end
                redis.call('ZADD', KEYS[1], score, member)
                redis.call('HDEL', KEYS[2], key)
                reclaimed = reclaimed + 1
              end
              redis.call('HDEL', KEYS[3], key)
              redis.call('ZREM', KEYS[4], key)
            end
            local cursor, passed, is_end, upcoming
            cursor, passed, is_end, upcoming, budget = walk(KEYS[5], ARGV[5], now, budget, function(member, envelope)
              if moved >= limit then return nil end
              local queue = envelope and envelope.queue or ''
              if queue ~= ARGV[1] and (queue ~= '' or ARGV[4] ~= '1') then return false end
              redis.call('ZADD', KEYS[1], queue_score(envelope) or until_now, member)
              moved = moved + 1
              return true
            end)
            local more = #expired == limit or not is_end
            local wait = ''
            if more then
              wait = '0'
            else
              local function consider(score)
                local left = math.max(0, tonumber(score) - now)
                if wait == '' or left < tonumber(wait) then wait = string.format('%.6f', left) end
              end
              local lease = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
              if lease[2] then consider(lease[2]) end
              if upcoming then consider(upcoming) end
            end
            return {reclaimed, moved, wait, cursor, passed}
            """#)
}
