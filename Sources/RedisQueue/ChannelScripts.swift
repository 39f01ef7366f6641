import RedisClient

/// The retry set as the channel transport uses it.
enum ChannelScripts {
    /// Puts members off.
    ///
    /// KEYS: retry. ARGV: the delay in seconds, members.
    static let putOff = RedisScript(
        EnvelopeScript.source + #"""
            local due = string.format('%.6f', server_time() + tonumber(ARGV[1]))
            for place = 2, #ARGV do redis.call('ZADD', KEYS[1], due, ARGV[place]) end
            return #ARGV - 1
            """#)

    /// Takes members out whose time has come and which belong to this channel; those of others stay where they are.
    ///
    /// KEYS: retry. ARGV: the channel, most members, bytes after which to stop, longest member, the cursor before which due
    /// members are known to be others', bytes to look at.
    ///
    /// Returns how long in seconds until there may be more (empty: nothing is known), the cursor, how many due members before
    /// it are others', and the members.
    static let takeDue = RedisScript(
        RetryWalk.source + #"""
            local now = server_time()
            local limit, room, longest = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
            local taken = {}
            local budget = tonumber(ARGV[6])
            local cursor, passed, is_end, upcoming = walk(KEYS[1], ARGV[5], now, budget, function(member, envelope)
              if room <= 0 or #taken >= limit then return nil end
              if #member > longest or not envelope or envelope.queue ~= ARGV[1] then return false end
              room = room - #member
              taken[#taken + 1] = member
              return true
            end)
            local wait = is_end and '' or '0'
            if upcoming then wait = string.format('%.6f', math.max(0, upcoming - now)) end
            return {wait, cursor, passed, unpack(taken)}
            """#)
}
