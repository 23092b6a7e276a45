/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iceoryx 2: chunks of shared memory, published in place, to subscribers that block who is too fast. Its
 * daemon, RouDi, is started before each measurement with a pool of just these chunks, and ended after it.
 */
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iceoryx_hoofs/log/logmanager.hpp>
#include <iceoryx_posh/popo/untyped_publisher.hpp>
#include <iceoryx_posh/popo/untyped_subscriber.hpp>
#include <iceoryx_posh/popo/wait_set.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>

#include "bench/peers/peer.h"

namespace
{

constexpr int PATIENCE_MS = 10000;

/* ---- RouDi ---- */

pid_t daemon_pid;

/* The largest queue of a subscriber, unless ours is smaller. */
unsigned queue_capacity(const peer_work *work)
{
    return work->capacity < iox::MAX_SUBSCRIBER_QUEUE_CAPACITY ? work->capacity
                                                               : iox::MAX_SUBSCRIBER_QUEUE_CAPACITY;
}

std::string config_path()
{
    return std::string(peer_directory()) + "/roudi.toml";
}

bool write_config(const peer_work *work)
{
    std::FILE *file = std::fopen(config_path().c_str(), "we");

    if (!file)
        return false;
    /* Two channels full, and a few in each hand. */
    std::fprintf(file, "[general]\nversion = 1\n[[segment]]\n[[segment.mempool]]\nsize = %zu\ncount = %u\n",
                 work->size, 2 * queue_capacity(work) + 32);
    return std::fclose(file) == 0;
}

[[noreturn]] void become_daemon(int output, const std::string &config)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execlp("iox-roudi", "iox-roudi", "-c", config.c_str(), "-m", "off", static_cast<char *>(nullptr));
    _exit(127);
}

/* It says on standard output that it is ready; it ends if there is one already. */
peer_result await_daemon(int input)
{
    std::string text;
    char buffer[512];

    for (int i = 0; i < 1000; i++) {
        pollfd fd = { input, POLLIN, 0 };
        if (poll(&fd, 1, PATIENCE_MS) <= 0)
            return peer_say(PEER_FAILED, "RouDi is not ready in time");
        ssize_t size = read(input, buffer, sizeof buffer);
        if (size <= 0)
            break;
        text.append(buffer, static_cast<size_t>(size));
        if (text.find("ready for clients") != std::string::npos)
            return PEER_OK;
    }
    return peer_say(PEER_CANNOT, "RouDi (iox-roudi) does not start: is it installed, and does no other run?");
}

peer_result setup(const peer_work *work)
{
    int ends[2];

    if (!write_config(work) || pipe2(ends, O_CLOEXEC) < 0)
        return peer_failed("RouDi's configuration", errno);
    const std::string config = config_path();
    daemon_pid = fork();
    if (daemon_pid == 0)
        become_daemon(ends[1], config);
    close(ends[1]);
    if (daemon_pid < 0)
        return peer_failed("fork", errno);
    peer_result result = await_daemon(ends[0]);
    /* The pipe stays open: it says more when it ends, and nobody need read that. */
    return result;
}

std::string runtime_name(unsigned process)
{
    return std::string(peer_channel_name(PEER_THERE)) + "-" + std::to_string(process);
}

void teardown(const peer_work *work)
{
    if (daemon_pid > 0) {
        kill(daemon_pid, SIGTERM);
        int rounds = 0;
        while (waitpid(daemon_pid, nullptr, WNOHANG) == 0) {
            if (rounds++ == PATIENCE_MS / 5)
                kill(daemon_pid, SIGKILL);
            poll(nullptr, 0, 5);
        }
    }
    for (unsigned i = 0; i <= work->senders; i++) /* of processes that were killed */
        for (const char *suffix : { "", ".lock" })
            unlink(("/tmp/" + runtime_name(i) + suffix).c_str());
}

/* ---- a process ---- */

using WaitSet = iox::popo::WaitSet<1>;

struct own {
    iox::popo::UntypedPublisher *publisher;
    iox::popo::UntypedSubscriber *subscriber;
    WaitSet *waits; /* where it sleeps */
    const void *taken;
};

iox::capro::ServiceDescription service(peer_channel channel)
{
    if (channel == PEER_THERE)
        return { "ginnel-peer", "bench", "there" };
    return { "ginnel-peer", "bench", "back" };
}

bool await(bool (*there)(const own *own), const own *own)
{
    for (int i = 0; i < PATIENCE_MS; i++) {
        if (there(own))
            return true;
        poll(nullptr, 0, 1);
    }
    return false;
}

peer_result open_publisher(own *own, peer_channel channel)
{
    iox::popo::PublisherOptions options;

    options.subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
    own->publisher = new iox::popo::UntypedPublisher(service(channel), options);
    bool there = await([](const struct own *it) { return it->publisher->hasSubscribers(); }, own);
    return there ? PEER_OK : peer_say(PEER_FAILED, "nobody subscribes");
}

/* The publisher looks for the subscriber, not the other way round: of two publishers one may come later. */
peer_result open_subscriber(own *own, const peer_work *work, peer_channel channel)
{
    iox::popo::SubscriberOptions options;

    options.queueCapacity = queue_capacity(work);
    options.queueFullPolicy = iox::popo::QueueFullPolicy::BLOCK_PRODUCER;
    own->subscriber = new iox::popo::UntypedSubscriber(service(channel), options);
    if (!work->waits)
        return PEER_OK;
    own->waits = new WaitSet;
    if (own->waits->attachState(*own->subscriber, iox::popo::SubscriberState::HAS_DATA).has_error())
        return peer_say(PEER_FAILED, "cannot attach to a WaitSet");
    return PEER_OK;
}

peer_result open_end(peer_end *end)
{
    static bool begun;
    own *mine = new own{};

    end->own = mine;
    if (!begun) {
        iox::log::LogManager::GetLogManager().SetDefaultLogLevel(iox::log::LogLevel::kOff,
                                                                 iox::log::LogLevelOutput::kHideLogLevel);
        unsigned process = end->sends == (end->channel == PEER_THERE) ? 1 + end->sender : 0;
        const std::string name = runtime_name(process);
        iox::runtime::PoshRuntime::initRuntime(
            iox::RuntimeName_t(iox::cxx::TruncateToCapacity, name.c_str()));
        begun = true;
    }
    return end->sends ? open_publisher(mine, end->channel) : open_subscriber(mine, end->work, end->channel);
}

/* Waits, yielding the core, while the subscriber's queue is full. */
peer_result send(peer_end *end, const void *data)
{
    own *mine = static_cast<own *>(end->own);

    auto chunk = mine->publisher->loan(static_cast<uint32_t>(end->work->size));
    if (chunk.has_error())
        return peer_say(PEER_FAILED, "loan: error %u", static_cast<unsigned>(chunk.get_error()));
    std::memcpy(chunk.value(), data, end->work->size);
    mine->publisher->publish(chunk.value());
    return PEER_OK;
}

peer_result receive(peer_end *end, void **data)
{
    own *mine = static_cast<own *>(end->own);

    for (;;) {
        auto chunk = mine->subscriber->take();
        if (!chunk.has_error()) {
            mine->taken = chunk.value();
            *data = const_cast<void *>(mine->taken);
            return PEER_OK;
        }
        if (chunk.get_error() != iox::popo::ChunkReceiveResult::NO_CHUNK_AVAILABLE)
            return peer_say(PEER_FAILED, "take: error %u", static_cast<unsigned>(chunk.get_error()));
        if (!end->work->waits)
            return PEER_NOT_NOW;
        mine->waits->wait();
    }
}

peer_result release(peer_end *end)
{
    own *mine = static_cast<own *>(end->own);

    mine->subscriber->release(mine->taken);
    return PEER_OK;
}

/* A publisher that goes takes nothing with it: what it published stays in the subscriber's queue. */
void close_end(peer_end *end)
{
    own *mine = static_cast<own *>(end->own);

    delete mine->waits;
    delete mine->subscriber;
    delete mine->publisher;
    delete mine;
}

/* RouDi is to know that this process has ended: else it does not tidy up. Nobody destroys the runtime
 * again, since the harness's processes end by _exit. */
void leave()
{
    iox::runtime::PoshRuntime::getInstance().~PoshRuntime();
}

const peer chunks = {
    .name = "iceoryx",
    .polls_busy = true,
    .polls_stream = true,
    .setup = setup,
    .teardown = teardown,
    .open = open_end,
    .send = send,
    .receive = receive,
    .release = release,
    .close = close_end,
    .leave = leave,
};

} // namespace

const peer *const peer_list[] = { &chunks, nullptr };
