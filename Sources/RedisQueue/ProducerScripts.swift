import RedisClient

/// What the published producers do, for many messages in one step.
enum ProducerScripts {
    /// Submits messages. KEYS: pending. ARGV for each: id, token, time to the deadline in milliseconds, deadline in Unix
    /// seconds, the member up to and behind the value of `enqueue_seq`.
    ///
    /// As llm-d-async's producer: counts submissions per deadline, so that equal deadlines keep their order; forgets an old
    /// wish to cancel; notes the token. Returns for each 1, or 0 if a request of this id is under way already.
    static let enqueue = RedisScript(
        #"""
        local receipts = {}
        for i = 1, #ARGV, 6 do
          local id, token, deadline = ARGV[i], ARGV[i + 1], ARGV[i + 3]
          local active = 'request-active:' .. id
          if redis.call('EXISTS', active) == 1 then
            receipts[#receipts + 1] = 0
          else
            local counter = 'request-seq:' .. KEYS[1] .. ':' .. deadline
            local sequence = redis.call('INCR', counter)
            redis.call('EXPIREAT', counter, string.format('%.0f', tonumber(deadline) + 3600))
            redis.call('DEL', 'request-cancel:' .. id)
            redis.call('SET', active, token, 'PX', ARGV[i + 2])
            local score = tonumber(deadline) + math.min(sequence, 2097151) / 2097152
            redis.call('ZADD', KEYS[1], string.format('%.17g', score),
              ARGV[i + 4] .. string.format('%.0f', sequence) .. ARGV[i + 5])
            receipts[#receipts + 1] = 1
          end
        end
        return receipts
        """#)

    /// Asks for a request to be cancelled. KEYS: active, cancel. ARGV: how long the wish is kept, in seconds. Returns 0 if no
    /// request of this id is under way.
    static let cancel = RedisScript(
        #"""
        local token = redis.call('GET', KEYS[1])
        if not token then return 0 end
        redis.call('SET', KEYS[2], token, 'EX', ARGV[1])
        return 1
        """#)
}
