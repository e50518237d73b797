// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The operations whose handlers wait for something of a manager, by the execution context that the handlers run in:
/// when the context goes first, they are destroyed unrun, as those of Asio's own I/O objects are.
///
/// The same for callbacks that run on an executor of the user.
///
/// Knows:         services of Asio, which a context shuts down before it goes.
/// Does not know: handlers.
/// Thread-safety: safe.

#include <warden/callbacks.hpp>

#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

namespace warden::detail {

class PendingOperation {
public:
    virtual ~PendingOperation() = default;
    /// The context goes: destroys the handler, unless the operation has completed.
    virtual void drop() noexcept = 0;
};

/// Those of one context. Outlives it.
struct PendingOperations {
    std::mutex mutex;  ///< Held while a handler is posted, so that the context cannot go meanwhile.
    bool is_over = false;
    std::map<PendingOperation*, std::weak_ptr<PendingOperation>> all;

    /// Those of `context`. Throws what `use_service` throws.
    [[nodiscard]] static std::shared_ptr<PendingOperations> of(boost::asio::execution_context& context);

    void add(const std::shared_ptr<PendingOperation>& operation) {
        const std::lock_guard lock(mutex);
        all.emplace(operation.get(), operation);
    }
};

/// For executors of Asio, which have a context.
template <class E>
requires(boost::asio::can_query<const E&, boost::asio::execution::context_t>::value) struct GuardedExecutor<E> {
    explicit GuardedExecutor(E wanted)
        : executor(std::move(wanted)),
          pending(PendingOperations::of(boost::asio::query(executor, boost::asio::execution::context))) {}

    bool operator()(std::function<void()> f) const {
        const std::lock_guard lock(pending->mutex);
        if (pending->is_over) return false;
        boost::asio::post(executor, std::move(f));
        return true;
    }

    E executor;
    std::shared_ptr<PendingOperations> pending;
};

// -- implementation ----------------------------------------------------------

class PendingOperationsService : public boost::asio::detail::execution_context_service_base<PendingOperationsService> {
public:
    explicit PendingOperationsService(boost::asio::execution_context& context)
        : execution_context_service_base<PendingOperationsService>(context) {}

    const std::shared_ptr<PendingOperations> operations = std::make_shared<PendingOperations>();

private:
    void shutdown() override {
        std::map<PendingOperation*, std::weak_ptr<PendingOperation>> all;
        {
            const std::lock_guard lock(operations->mutex);
            operations->is_over = true;
            all.swap(operations->all);
        }
        for (const auto& entry : all) {
            if (const auto operation = entry.second.lock()) operation->drop();
        }
    }
};

inline std::shared_ptr<PendingOperations> PendingOperations::of(boost::asio::execution_context& context) {
    return boost::asio::use_service<PendingOperationsService>(context).operations;
}

}  // namespace warden::detail
